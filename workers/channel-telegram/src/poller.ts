import { setTimeout as delay } from 'node:timers/promises'
import { persist } from '@agentos/channel-kit'
import type { StateClient } from '@agentos/sdk'
import { type BotApi, BotApiError } from './bot-api.ts'

const SCOPE = 'telegram-poll'
const BACKOFF_MS = { first: 1_000, last: 30_000 }
/** Beyond the time that a request for updates may wait. */
const GRACE_MS = 10_000

export interface PollerParts {
  api: BotApi
  state: StateClient
  botId: number
  seconds: number
  allowed: string[]
  /** Stores an update; it is on disk when this resolves. */
  take: (update: unknown) => Promise<void>
  /** What does not work, in words; `undefined` when it works again. */
  report: (problem: string | undefined) => void
}

/**
 * Asks Telegram for updates, one request at a time. The next offset confirms what came before, so it goes out only after
 * every update is stored; it is kept on disk, and what comes twice after a crash is stored once.
 */
export async function poll(parts: PollerParts, signal: AbortSignal): Promise<void> {
  const { api, state, botId, seconds, allowed, take, report } = parts
  const key = `offset/${botId}`
  let offset = (await persist(() => state.get<number>(SCOPE, key))) ?? 0
  let wait = BACKOFF_MS.first
  while (!signal.aborted) {
    try {
      const updates = await api.call<{ update_id: number }[]>(
        'getUpdates',
        { offset, timeout: seconds, limit: 100, allowed_updates: allowed },
        { timeoutMs: seconds * 1_000 + GRACE_MS, signal },
      )
      report(undefined)
      wait = BACKOFF_MS.first
      for (const update of updates) {
        await persist(() => take(update))
        offset = update.update_id + 1
      }
      const reached = offset
      if (updates.length > 0) await persist(() => state.set(SCOPE, key, reached))
    } catch (error) {
      if (signal.aborted) return
      report(await explained(error, api))
      const retryAfter = error instanceof BotApiError ? error.retryAfterMs : undefined
      await delay(retryAfter ?? wait, undefined, { signal }).catch(() => {})
      wait = Math.min(wait * 2, BACKOFF_MS.last)
    }
  }
}

/** A webhook that somebody set is taken away: without a public address there is no other way in. */
async function explained(error: unknown, api: BotApi): Promise<string> {
  if (!(error instanceof Error)) return 'The updates could not be fetched'
  if (!(error instanceof BotApiError) || error.code !== 409) return error.message
  if (!error.says('webhook')) return 'Another process fetches the updates of this bot: stop it, or use another bot'
  await api.call('deleteWebhook', {}).catch(() => {})
  return 'A webhook was active for this bot; it is taken away'
}
