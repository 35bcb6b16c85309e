import { visibleLine, visibleText } from '@agentos/protocol'
import { type Command, InvalidArgumentError } from 'commander'
import { jsonText, paint, print, printJson, table } from '../output.ts'
import { connect, type GlobalOptions } from './connect.ts'

interface Run {
  id: string
  function: string
  status: string
  reason?: string
  createdAt: number
  finishedAt?: number
  attempts: number
  steps: number
  costMicroUsd: number
  session?: string
  replayOf?: string
  question?: { step: string; function?: string; input?: unknown; signal?: string }
}

/** As `engine::runs::get` gives it, without what steps were given and came to. */
interface WholeRun extends Run {
  journal: {
    step: string
    kind: string
    name: string
    status: string
    startedAt: number
    finishedAt?: number
    error?: { code: string }
  }[]
  result?: unknown
  error?: { code: string; message: string }
}

interface StepCall {
  kind: string
  name: string
}

interface ReplayReport {
  ok: boolean
  /** `null`: there was no such step, or it was not asked for. */
  divergences: { step: string; recorded: StepCall | null; asked: StepCall | null }[]
  resultEqual?: boolean
  /** Step at which the journal of the original ends. */
  endedAt?: string
}

const NOTHING_YET = 'No run yet. What clients without a token began: npm run agentos -- runs --realm guest'

const runPath = (id: string): string => `/v1/runs/${encodeURIComponent(id)}`

export function addRuns(program: Command): void {
  program
    .command('runs')
    .description('the last runs, newest first: what they did, what they cost, what they wait for')
    .option('--limit <n>', 'how many', '20')
    .option('--status <status>', 'running, waiting, parked, done, failed or cancelled')
    .action(async ({ limit, status }: { limit: string; status?: string }, command: Command) => {
      const { api } = connect(command)
      const list = await api.get<{ runs: Run[] }>('/v1/runs', { limit, ...(status ? { status } : {}) })
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson(list)
      if (list.runs.length === 0 && api.realm === undefined) return print(NOTHING_YET)
      print(table(list.runs.map(row)))
    })
  program
    .command('run')
    .description('one run and its steps; with --cancel or --answer what is to become of it')
    .argument('<id>')
    .option('--cancel', 'stop it')
    .option(
      '--answer <how>',
      'a step in doubt took effect (done), is to be sent again (repeat) or given up (failed)',
      choice,
    )
    .action(async (id: string, options: { cancel?: true; answer?: string }, command: Command) => {
      const { api } = connect(command)
      if (options.cancel) await api.post(`${runPath(id)}/cancel`, {})
      if (options.answer) {
        const { question } = await api.get<Run>(runPath(id))
        await api.post(`${runPath(id)}/resume`, { step: question?.step, answer: options.answer })
      }
      const run = await api.get<WholeRun>(runPath(id), { values: 'false' })
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson(run)
      print(table([row(run)]))
      print(table(run.journal.map(stepRow)))
      const next = whatNext(run)
      if (next) print(`\n${next}`)
      if (run.result !== undefined) print(`\n${endOf(run.result)}`)
    })
  program
    .command('replay')
    .description(
      'run a finished run again through its worker, with every step answered from its journal: no model is asked',
    )
    .argument('<run>')
    .option('--check', 'end with 1 where the replay differs: a recorded run is a regression test')
    .option('--from <step>', 'begin a new run with what was recorded before this step, and go on for real')
    .action(async (id: string, { check, from }: { check?: true; from?: string }, command: Command) => {
      const { api } = connect(command)
      const { json } = command.optsWithGlobals<GlobalOptions>()
      if (from) {
        const fork = await api.post<{ runId: string }>(`${runPath(id)}/replay`, { from })
        if (json) return printJson(fork)
        return print(`Run ${fork.runId} goes on from step ${from}: npm run agentos -- run ${fork.runId}`)
      }
      const report = await api.post<ReplayReport>(`${runPath(id)}/replay`, {})
      if (check && !report.ok) process.exitCode = 1
      if (json) return printJson(report)
      print(report.ok ? paint('green', sameAs(report)) : differences(report))
    })
}

/** What a run came to: of a chat its answer, of others the value. */
function endOf(result: unknown): string {
  const { content } = (result ?? {}) as { content?: unknown }
  return typeof content === 'string' ? visibleText(content) : jsonText(result)
}

function choice(answer: string): string {
  if (['done', 'repeat', 'failed'].includes(answer)) return answer
  throw new InvalidArgumentError('It is one of done, repeat and failed.')
}

const row = (run: Run): string[] => [
  paint('dim', new Date(run.createdAt).toISOString().replace('T', ' ').slice(0, 19)),
  paint('cyan', run.id),
  visibleLine(run.function),
  coloured(run),
  `${run.steps} steps`,
  `$${(run.costMicroUsd / 1e6).toFixed(6)}`,
  run.attempts > 1 ? `${run.attempts} attempts` : '',
]

const stepRow = ({ step, kind, name, status, startedAt, finishedAt, error }: WholeRun['journal'][number]): string[] => [
  `  ${step}`,
  paint('dim', kind),
  visibleLine(name),
  status === 'done' ? status : paint(status === 'failed' ? 'red' : 'yellow', status),
  finishedAt === undefined ? '' : `${finishedAt - startedAt} ms`,
  visibleLine(error?.code ?? ''),
]

function coloured({ status, reason, replayOf }: Run): string {
  const text = visibleLine(`${replayOf ? 'replay ' : ''}${status}${reason && status !== 'done' ? ` (${reason})` : ''}`)
  if (status === 'done') return text
  return paint(status === 'failed' || status === 'cancelled' ? 'red' : 'yellow', text)
}

/** What a person can do about a run that stands still, or has failed. */
function whatNext(run: WholeRun): string | undefined {
  const { id, status, reason, question, error } = run
  if (error) return visibleText(`${error.code}: ${error.message}`)
  if (status === 'waiting' && reason === 'approval') {
    return visibleLine(`${question?.function} waits for an approval: npm run agentos -- approvals`)
  }
  if (status === 'waiting') return visibleLine(`Step ${question?.step} waits for the signal ${question?.signal}`)
  if (status !== 'parked') return undefined
  return reason === 'in_doubt' ? inDoubt(run) : diverged(id, question?.step)
}

function diverged(id: string, step: string | undefined): string {
  return [
    `The code has changed at step ${step}. With the version that began this run, or in a new run that begins there:`,
    `  npm run agentos -- run ${id} --answer repeat`,
    `  npm run agentos -- replay ${id} --from ${step}`,
  ]
    .map(visibleLine)
    .join('\n')
}

function inDoubt({ id, question }: Run): string {
  return [
    `${question?.function} (step ${question?.step}) was on its way when its process went: ${JSON.stringify(question?.input)}`,
    'Look whether it took effect, then:',
    `  npm run agentos -- run ${id} --answer done      it did`,
    `  npm run agentos -- run ${id} --answer repeat    it did not: send it again`,
    `  npm run agentos -- run ${id} --answer failed    go on without it`,
  ]
    .map(visibleLine)
    .join('\n')
}

export function sameAs({ resultEqual, endedAt }: Pick<ReplayReport, 'resultEqual' | 'endedAt'>): string {
  if (resultEqual) return 'The replay is the same: every step, and the result.'
  const where = endedAt === undefined ? 'as far as the run has come' : `up to step ${endedAt}, where the journal ends`
  return `The replay is the same ${where}; there is no result to compare.`
}

function differences({ divergences, resultEqual }: ReplayReport): string {
  const lines = divergences.map(
    ({ step, recorded, asked }) => `step ${step}: recorded ${nameOf(recorded)}, asked for ${nameOf(asked)}`,
  )
  if (resultEqual === false) lines.push('the result is another one')
  return [paint('red', 'The replay differs:'), ...lines.map(visibleLine)].join('\n')
}

const nameOf = (call: StepCall | null): string => (call ? `${call.kind} ${call.name}` : 'nothing')
