import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { print } from '../output.ts'
import { resolvePaths } from '../paths.ts'
import { Refusal } from '../refusal.ts'
import { follow } from '../tail.ts'
import type { GlobalOptions } from './connect.ts'

export function addLogs(program: Command): void {
  program
    .command('logs')
    .description('the last lines of a log: engine, supervisor or a worker')
    .argument('<name>')
    .option('-n, --lines <n>', 'how many', '50')
    .option('-f, --follow', 'go on with what comes')
    .action(async (name: string, options: { lines: string; follow?: boolean }, command: Command) => {
      const folder = join(resolvePaths().data, 'logs')
      const path = join(folder, `${name}.jsonl`)
      if (!/^[\w-]+(\.\d+)?$/.test(name) || !existsSync(path)) throw noSuchLog(name, folder)
      const format = command.optsWithGlobals<GlobalOptions>().json
        ? (line: string) => line
        : (await import('../pretty-lines.ts')).prettyLines()
      const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean)
      const wanted = Number(options.lines)
      for (const line of wanted > 0 ? lines.slice(-wanted) : []) print(format(line))
      if (options.follow) await follow(path, (line) => print(format(line)))
    })
}

function noSuchLog(name: string, folder: string): Refusal {
  const names = existsSync(folder)
    ? readdirSync(folder).flatMap((file) => (file.endsWith('.jsonl') ? [file.slice(0, -6)] : []))
    : []
  return new Refusal('not_found', 'No such log', `There is no log of “${name}”.`, [
    names.length > 0 ? `There are: ${names.join(', ')}.` : 'Nothing was started yet: npm start.',
  ])
}
