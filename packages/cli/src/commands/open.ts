import { spawn } from 'node:child_process'
import type { Command } from 'commander'
import { paint, print, printJson } from '../output.ts'
import { connect, type GlobalOptions } from './connect.ts'

export function addOpen(program: Command): void {
  program
    .command('open')
    .description('the page’s address with a new one-time code, opened in a browser where there is one')
    .option('--print', 'only print it')
    .action(async (options: { print?: boolean }, command: Command) => {
      const { api } = connect(command)
      const { code, url } = await api.post<{ code: string; url: string }>('/v1/auth/code', {})
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson({ code, url })
      print(paint(['bold', 'cyan'], url))
      print(paint('dim', 'It works once, and makes this browser yours.'))
      if (!options.print && process.stdout.isTTY) openBrowser(url)
    })
}

/** Nothing is said where it fails: the address stands on the terminal. */
function openBrowser(url: string): void {
  if (process.platform === 'linux' && !process.env.DISPLAY && !process.env.WAYLAND_DISPLAY) return
  const child = spawn(process.platform === 'darwin' ? 'open' : 'xdg-open', [url], { stdio: 'ignore', detached: true })
  child.on('error', () => {})
  child.unref()
}
