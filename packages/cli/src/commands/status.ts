import { visibleLine } from '@agentos/protocol'
import type { Command } from 'commander'
import type { Api } from '../api.ts'
import { paint, print, printJson, table } from '../output.ts'
import { Refusal } from '../refusal.ts'
import { runningSupervisor } from '../supervisor/lock.ts'
import { type ProcessStatus, readStatus } from '../supervisor/status-file.ts'
import { guestsNote, waitingForGuests } from './approvals.ts'
import { connect, type GlobalOptions } from './connect.ts'

/** One process that is connected, or one installed worker without any. */
interface WorkerRow {
  name: string
  pid: number | null
  status: string
  functions: string[]
  inFlight: number
  problems?: string[]
}

/** What is known of one worker, from the engine (who is connected) and the supervisor (who should be). */
export interface WorkerStatus {
  name: string
  state: string
  functions?: number
  inFlight?: number
  pid?: number
  memoryMb?: number
  restarts?: number
  reason?: string
  retryAt?: number
  /** What of it does not stand or does not build. */
  problems?: string[]
}

/** Joins both views: a worker that is held or restarting is not connected, and stands in the list all the same. */
export function mergeStatus(rows: WorkerRow[], processes: ProcessStatus[]): WorkerStatus[] {
  const byName = new Map<string, WorkerStatus>()
  const names = new Map(processes.map(({ name, pid }) => [pid, name]))
  for (const { name, state, pid, memoryMb, restarts, reason, retryAt, problem } of processes) {
    byName.set(name, {
      name,
      state,
      restarts,
      ...(pid === undefined ? {} : { pid }),
      ...(memoryMb === undefined ? {} : { memoryMb }),
      ...(reason === undefined ? {} : { reason }),
      ...(retryAt === undefined ? {} : { retryAt }),
      ...(problem === undefined ? {} : { problems: [problem] }),
    })
  }
  for (const row of rows) {
    // A worker may have several processes; one that the supervisor did not start has a row of its own.
    const name = (row.pid === null ? undefined : names.get(row.pid)) ?? row.name
    const known = byName.get(name)
    const key = known?.pid !== undefined && row.pid !== null && known.pid !== row.pid ? `${name} ${row.pid}` : name
    byName.set(key, {
      ...(key === name && known ? known : { name, state: row.status }),
      functions: row.functions.length,
      inFlight: row.inFlight,
      ...(row.pid === null ? {} : { pid: row.pid }),
      ...(row.problems?.length ? { problems: [...(known?.problems ?? []), ...row.problems] } : {}),
    })
  }
  return [...byName.values()].sort(
    (a, b) => Number(b.name === 'engine') - Number(a.name === 'engine') || a.name.localeCompare(b.name),
  )
}

/** What `engine::cron::list` says of a clock that was set back since the engine started. */
interface ClockSetBack {
  at_ms: number
  by_ms: number
}

/** Exported for its test. */
export function clockNote({ at_ms, by_ms }: ClockSetBack): string {
  const minutes = Math.round(by_ms / 60_000)
  const [count, unit] =
    minutes >= 2 * 24 * 60
      ? [Math.round(minutes / 24 / 60), 'days']
      : minutes >= 120
        ? [Math.round(minutes / 60), 'hours']
        : [Math.max(1, minutes), minutes <= 1 ? 'minute' : 'minutes']
  const when = new Date(at_ms).toISOString().slice(0, 19).replace('T', ' ')
  return `the clock was set back by ${count} ${unit}, to ${when} UTC; schedules go on from there`
}

const notOfARealm = () =>
  new Refusal('invalid_input', 'No status of a realm', 'status is about the whole installation.', [
    'Leave --realm out.',
  ])

const lostNote = (pid: number): string =>
  `nobody restarts what ends: the supervisor (process ${pid}) is gone. npm run agentos -- stop, then npm start`

async function askEngine(api: Api) {
  // First and alone: nobody waits for the answers of an engine that stands still.
  const ready = await api.probe('/v1/engine/ready')
  const [{ workers }, { functions }, cron, guestApprovals] = await Promise.all([
    api.get<{ workers: WorkerRow[] }>('/v1/engine/workers'),
    api.get<{ functions: unknown[] }>('/v1/engine/functions'),
    // Not there where config.yaml lists no cron.
    api.call<{ clock_set_back: ClockSetBack | null }>('engine::cron::list', {}).catch(() => undefined),
    // Not there without the worker that keeps them, or while that is down.
    waitingForGuests(api).catch(() => 0),
  ])
  return {
    isReady: ready.status === 200,
    phase: (ready.body as { status?: string }).status ?? 'not ready',
    trouble: (ready.body as { store?: string }).store ?? null,
    workers,
    functions: functions.length,
    clockSetBack: cron?.clock_set_back ?? null,
    guestApprovals,
  }
}

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('workers and functions that are up, and what is asleep, held or restarting')
    .action(async (_options: object, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>()
      const { api, paths } = connect(command)
      if (api.realm !== undefined) throw notOfARealm()
      const supervisor = runningSupervisor(paths.data) ? readStatus(paths.data) : undefined
      const engine = supervisor?.processes.find(({ name }) => name === 'engine')
      const said = await askEngine(api).catch((error: unknown) => {
        // The supervisor knows why it is silent.
        if (engine && engine.state !== 'up' && error instanceof Refusal && error.code === 'unreachable')
          return undefined
        throw error
      })
      const list = mergeStatus(said?.workers ?? [], supervisor?.processes ?? [])
      const functions = said?.functions ?? null
      const setBack = said?.clockSetBack ?? null
      const guestApprovals = said?.guestApprovals ?? 0
      const storeTrouble = said?.trouble ?? null
      const notice = supervisor?.notice ?? null
      const last = supervisor || process.env.AGENTOS_API_URL ? undefined : readStatus(paths.data)
      // An engine that was started by hand has nobody who restarts, and was meant to.
      const supervisorLost = said && last && !last.stopping && last.address === `${api.base}/` ? last.pid : null
      // What is asleep or ends stays so.
      const isReady = (said?.isReady ?? false) && supervisorLost === null
      const phase = supervisorLost !== null ? 'unsupervised' : (said?.phase ?? `engine is ${engine?.state}`)
      if (!isReady || list.some((worker) => ['held', 'unbuilt', 'silent'].includes(worker.state))) process.exitCode = 1
      if (json) {
        printJson({
          address: api.base,
          ready: isReady,
          functions,
          workers: list,
          supervisor: supervisor?.pid ?? null,
          supervisorLost,
          storeTrouble,
          clockSetBack: setBack,
          guestApprovals,
          notice,
        })
        return
      }
      const state = isReady ? paint('green', '✓ ready') : paint('yellow', `! ${phase}`)
      print([state, `${api.base}/`, ...(functions === null ? [] : [`${functions} functions`])].join('  '))
      if (storeTrouble !== null)
        print(
          paint(
            'red',
            `✗ the disk takes no writes, or answers no reads: ${storeTrouble}. Look at the free space and the health of the disk under ${paths.data}`,
          ),
        )
      if (supervisorLost !== null) print(paint('red', `✗ ${lostNote(supervisorLost)}`))
      if (setBack) print(paint('yellow', `! ${clockNote(setBack)}`))
      if (notice !== null) print(paint('yellow', `! ${visibleLine(notice)}`))
      if (guestApprovals > 0) print(paint('yellow', `! ${guestsNote(guestApprovals)}`))
      print(table([header, ...list.map(row)], '  '))
      for (const { name, problems = [] } of list) {
        for (const problem of problems) print(paint('yellow', `! ${name}: ${problem.replaceAll('\n', '\n    ')}`))
      }
    })
}

const header = ['worker', 'state', 'functions', 'in flight', 'pid', 'memory', 'restarts', ''].map((text) =>
  paint('dim', text),
)

const COLOURS: Record<string, 'green' | 'red' | 'dim'> = {
  up: 'green',
  held: 'red',
  unbuilt: 'red',
  asleep: 'dim',
  silent: 'red',
}

function noteOn({ name, state, reason, retryAt }: WorkerStatus): string {
  if (state === 'up' || state === 'unbuilt') return ''
  if (state === 'asleep') return 'starts at the next call'
  const restart = `npm run agentos -- restart ${name.replace(/\..*/, '')}`
  if (retryAt !== undefined) {
    const seconds = Math.max(1, Math.ceil((retryAt - Date.now()) / 1000))
    return `${reason ?? ''}; tried again in ${seconds} s, or at once by ${restart}`
  }
  if (state === 'held') return `${reason ?? ''}; ${restart} starts it again`
  return reason ?? ''
}

function row(worker: WorkerStatus): string[] {
  const colour = worker.problems === undefined ? (COLOURS[worker.state] ?? 'yellow') : 'yellow'
  return [
    visibleLine(worker.name),
    paint(colour, visibleLine(worker.state)),
    String(worker.functions ?? ''),
    String(worker.inFlight ?? ''),
    String(worker.pid ?? ''),
    worker.memoryMb === undefined ? '' : `${worker.memoryMb} MB`,
    String(worker.restarts ?? ''),
    visibleLine(noteOn(worker)),
  ]
}
