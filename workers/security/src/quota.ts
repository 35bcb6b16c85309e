import { AgentError, type StateClient } from '@agentos/sdk'

export const HOUR_MS = 3_600_000
const SCOPE = 'metering'
const ATTEMPTS = 20

/** Counted calls that are recognized when they come again: so many of an agent, and for a day. */
const MOST_KNOWN = 128
const KNOWN_HOURS = 24

/** Tokens of one clock hour; an older hour counts as nothing. */
interface Window {
  /** Start, epoch milliseconds. */
  hour: number
  tokens: number
  /** Counted under a key, oldest first: in the record that they changed, so that both are written or none. */
  known?: Known[]
}

interface Known {
  key: string
  hour: number
  tokens: number
  used: number
}

export interface Usage {
  used: number
  resetsAt: number
}

/** Tokens that the agent used in the hour of `now`. */
export async function readUsage(state: StateClient, agentId: string, now: number): Promise<Usage> {
  return usageOf(await state.get<Window>(SCOPE, agentId), now)
}

/** Adds to the hour of `now`; concurrent additions all count, and those of one key once. */
export async function countTokens(
  state: StateClient,
  agentId: string,
  tokens: number,
  now: number,
  key?: string,
): Promise<Usage> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const stored = await state.getWithVersion<Window>(SCOPE, agentId)
    const counted = stored?.value.known?.find((known) => known.key === key)
    if (counted) return answerOf(counted, tokens)
    const { used, resetsAt } = usageOf(stored?.value, now)
    const hour = resetsAt - HOUR_MS
    const total = used + tokens
    const kept = (stored?.value.known ?? []).filter((known) => known.hour > hour - KNOWN_HOURS * HOUR_MS)
    const known = key === undefined ? kept : [...kept, { key, hour, tokens, used: total }].slice(-MOST_KNOWN)
    const window: Window = { hour, tokens: total, ...(known.length === 0 ? {} : { known }) }
    try {
      await state.set(SCOPE, agentId, window, { expectedVersion: stored?.version ?? 0 })
      return { used: total, resetsAt }
    } catch (error) {
      if (!isVersionConflict(error)) throw error
    }
  }
  throw new AgentError('overloaded', `The usage of agent ${agentId} changes too fast to be counted; try again`)
}

function answerOf(counted: Known, tokens: number): Usage {
  if (counted.tokens === tokens) return { used: counted.used, resetsAt: counted.hour + HOUR_MS }
  throw new AgentError('key_reused', 'This idempotency key stands for another number of tokens; use a new one')
}

export function isVersionConflict(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'version_conflict'
}

function usageOf(window: Window | undefined, now: number): Usage {
  const hour = Math.floor(now / HOUR_MS) * HOUR_MS
  return { used: window?.hour === hour ? window.tokens : 0, resetsAt: hour + HOUR_MS }
}
