import { setTimeout as delay } from 'node:timers/promises'
import type { Api } from './api.ts'
import { adviceOnNewAgent, Refusal } from './refusal.ts'

interface RunEnd {
  status: string
  result?: unknown
  error?: { code: string; message: string; details?: unknown }
}

const WAIT_MS = 20_000
/** How long the engine may be away; the supervisor has it back in a second or two. */
const AWAY_MS = 30_000
const RETRY_MS = 250

/** The result of a run, however often the engine is restarted meanwhile. Throws how else it ended, or why it stands still. */
export async function followRun(api: Api, id: string, signal: AbortSignal): Promise<unknown> {
  let awaySince: number | undefined
  for (;;) {
    try {
      const path = `/v1/runs/${encodeURIComponent(id)}/result`
      const end = await api.get<RunEnd>(path, { waitMs: WAIT_MS }, WAIT_MS + 5_000)
      awaySince = undefined
      if (end.status === 'done') return end.result
      if (end.status !== 'running') throw notDone(id, end)
    } catch (error) {
      if (!isAway(error)) throw error
      awaySince ??= performance.now()
      if (performance.now() - awaySince > AWAY_MS) throw error
    }
    await delay(RETRY_MS, undefined, { signal })
  }
}

/** Nobody answers, or who answers is still starting. */
function isAway(error: unknown): boolean {
  return error instanceof Refusal && ['unreachable', 'overloaded', 'shutting_down'].includes(error.code)
}

function notDone(id: string, { status, error }: RunEnd): Refusal {
  const detail = error ? `${error.code}: ${error.message}` : `Run ${id} is ${status}.`
  const advice = [`npm run agentos -- run ${id}`, ...adviceOnNewAgent(error?.details)]
  return new Refusal(error?.code ?? 'not_done', 'There is no answer', detail, advice)
}
