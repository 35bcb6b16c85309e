import type { Examination, Repair } from '@agentos/engine/store-care'
import { visibleLine } from '@agentos/protocol'
import type { Command } from 'commander'
import { paint, print, printJson } from '../output.ts'
import { resolvePaths } from '../paths.ts'
import { Refusal } from '../refusal.ts'
import { runningSupervisor } from '../supervisor/lock.ts'
import type { GlobalOptions } from './connect.ts'
import { whileStopped } from './stopped.ts'

interface DoctorOptions extends GlobalOptions {
  repair?: boolean
  yes?: boolean
}

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('check log, database and every record of the data folder, and name each damaged place')
    .option('--repair', 'say what a repair would leave out (the system must not run)')
    .option('--yes', 'with --repair: do it; the files as they are now are kept')
    .action(async (_options: object, command: Command) => {
      const { json, repair: wanted, yes } = command.optsWithGlobals<DoctorOptions>()
      if (yes && !wanted) throw new Refusal('usage', 'Nothing was repaired', '--yes goes with --repair.')
      const { data } = resolvePaths()
      const { examine, repair } = await import('@agentos/engine/store-care')
      const live = runningSupervisor(data) !== undefined
      const look = () => {
        try {
          return examine(data, { live })
        } catch (error) {
          throw notExamined(error)
        }
      }
      const found = wanted ? await whileStopped(data, look) : look()
      if (wanted && yes && found.damage.length > 0) {
        const done = await whileStopped(data, () => repair(data, Date.now()))
        return json ? printJson({ data, ...found, repaired: done }) : sayRepaired(done)
      }
      if (found.damage.length > 0) process.exitCode = 1
      if (json) return printJson({ data, running: live, ...found })
      sayFound(data, found, live)
      if (found.damage.length === 0) return
      if (!wanted)
        print(
          'npm run agentos -- doctor --repair says what a repair would do; npm run agentos -- restore <file> takes a backup.',
        )
      else print('A repair leaves out what stands above and keeps every record that is whole. Add --yes to do it.')
    })
}

function notExamined(error: unknown): unknown {
  const { code, message } = error as { code?: string; message?: string }
  if (code === undefined || message === undefined) return error
  const advice = 'AGENTOS_DATA names the data folder; without it, it is the folder data beside config.yaml.'
  return new Refusal(code, 'Nothing was examined', message, [advice], error)
}

function sayFound(data: string, { records, live: alive, damage }: Examination, running: boolean): void {
  const what = `${records} records (${alive} live) of ${data}`
  const left = running ? ' The log is in motion while the system runs, and was left out.' : ''
  if (damage.length === 0) return print(`${paint('green', '✓')} ${what} are as they were written.${left}`)
  print(`${paint('red', '✗')} ${what} were read; ${damage.length} places are damaged:${left}`)
  for (const { text } of damage) print(`  ${visibleLine(text)}`)
}

function sayRepaired({ kept, records, lost }: Repair): void {
  print(`${records} records are in place again. The files as they were are in ${kept}.`)
  for (const { text } of lost) print(`  gone: ${visibleLine(text)}`)
}
