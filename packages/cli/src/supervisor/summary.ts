import type { Api } from '../api.ts'
import { paint } from '../output.ts'
import type { ProcessStatus } from './status-file.ts'

/** What the box at the end of a start says. */
export interface Summary {
  /** Address of the page with a one-time code; without one where the engine gives none. */
  page: string
  base: string
  processes: ProcessStatus[]
  functions: number | undefined
  model: ModelLine
  dataDir: string
  dev: boolean
}

/** The model in use; `connected` is false for the rules demo and where there is none at all. */
interface ModelLine {
  connected: boolean
  text: string
}

interface Providers {
  providers: { name: string; env_key: string; configured: boolean }[]
  default: { provider: string; model: string; reason: string } | null
}

/** Asks the running system; what it cannot say is left out rather than invented. */
export async function gatherFacts(api: Api): Promise<Pick<Summary, 'page' | 'functions' | 'model'>> {
  const [page, functions, providers] = await Promise.all([
    pageAddress(api),
    orUndefined(api.get<{ functions: unknown[] }>('/v1/engine/functions', {}, 5000)),
    orUndefined(api.get<Providers>('/v1/llm/providers', {}, 5000)),
  ])
  return { page, functions: functions?.functions.length, model: modelLine(providers) }
}

/** The page's address with a fresh one-time code. */
export async function pageAddress(api: Api): Promise<string> {
  const code = await orUndefined(api.post<{ code: string; url: string }>('/v1/auth/code', {}, 5000))
  return code?.url ?? `${api.base}/`
}

/** Exported for its test. */
export function modelLine(providers: Providers | undefined): ModelLine {
  if (!providers) return { connected: false, text: 'unknown: the worker llm-router does not answer' }
  const { default: chosen } = providers
  if (!chosen) return { connected: false, text: 'none' }
  const text = `${chosen.provider}/${chosen.model}`
  return chosen.provider === 'demo'
    ? { connected: false, text: `${text} (rules, not a language model)` }
    : { connected: true, text }
}

/** Lines without side borders, so that what is pasted from it is whole. */
export function renderSummary(summary: Summary, out: NodeJS.WriteStream = process.stdout): string {
  const workers = summary.processes.filter((process) => process.name !== 'engine')
  const asleep = workers.filter((worker) => worker.state === 'asleep')
  const up = workers.filter((worker) => worker.state === 'up')
  const missing = summary.processes.filter(({ state }) => state !== 'up' && state !== 'asleep')
  const rule = paint('dim', '─'.repeat(Math.min(76, Math.max(20, out.columns || 78) - 2)), out)
  const row = (label: string, text: string) => `  ${paint('dim', label.padEnd(9), out)} ${text}`
  return [
    rule,
    row('Page', paint(['bold', 'cyan'], summary.page, out)),
    row(
      'Up',
      `${counted(up.length, workers.length - asleep.length)}${asleep.length === 0 ? '' : `, ${asleep.length} asleep until needed`}${summary.functions === undefined ? '' : `, ${summary.functions} functions`}`,
    ),
    ...missing.map(({ name, state, reason }) =>
      row('', paint('yellow', `${name} is ${state}${reason ? `: ${reason}` : ''}`, out)),
    ),
    row('Model', summary.model.text),
    ...(summary.model.connected
      ? []
      : [
          row('', paint('dim', 'Connect one: paste a key on the page, or put ANTHROPIC_API_KEY,', out)),
          row('', paint('dim', 'OPENAI_API_KEY, … into .env, or start Ollama on this host.', out)),
        ]),
    row(
      'Try',
      `curl ${summary.base}/v1/chat -H 'content-type: application/json' -d '{"message":"What is 17 times 23?"}'`,
    ),
    row('Data', summary.dataDir),
    row('Stop', summary.dev ? 'Ctrl-C (changed sources restart by themselves)' : 'Ctrl-C'),
    rule,
  ].join('\n')
}

const counted = (up: number, all: number): string =>
  `${up === all ? all : `${up} of ${all}`} ${all === 1 ? 'worker' : 'workers'}`

const orUndefined = <T>(promise: Promise<T>): Promise<T | undefined> => promise.catch(() => undefined)
