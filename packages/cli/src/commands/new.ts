import { relative } from 'node:path'
import type { Command } from 'commander'
import { paint, print, printJson } from '../output.ts'
import { createWorker } from '../scaffold/new-worker.ts'
import { runningSupervisor } from '../supervisor/lock.ts'
import { readStatus } from '../supervisor/status-file.ts'
import { connect, type GlobalOptions } from './connect.ts'

export function addNew(program: Command): void {
  program
    .command('new')
    .description('write something new of the standard shape')
    .command('worker')
    .description('a worker that runs at once: on the bus, over HTTP and on the page')
    .argument('<name>', 'lower-case letters, digits and dashes')
    .action((name: string, _options: object, command: Command) => {
      const { api, paths } = connect(command)
      const { home, data } = paths
      const folder = createWorker(home, name)
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson({ name, folder, function: `${name}::greet` })
      const shown = relative(process.cwd(), folder) || folder
      print(`${paint('green', '✓')} ${shown} is written.`)
      for (const [step, text] of nextSteps(name, data, api.base))
        print(`  ${paint('cyan', step)}  ${paint('dim', text)}`)
    })
}

function nextSteps(name: string, data: string, base: string): [string, string][] {
  const dev = runningSupervisor(data) && readStatus(data)?.dev
  const start: [string, string][] = dev
    ? []
    : [['npm run dev', 'starts it and restarts it when you save (or stop and npm start again)']]
  return [
    ...start,
    [`npm run agentos -- call ${name}::greet who=Ada`, 'calls it on the bus'],
    [`curl '${base}/v1/${name}/greet?who=Ada'`, 'calls it over HTTP'],
    [`workers/${name}/src/contracts.ts`, 'what it takes and gives: begin here'],
  ]
}
