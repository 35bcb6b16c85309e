import { setTimeout as delay } from 'node:timers/promises'
import { persist } from '@agentos/channel-kit'
import type { StateClient } from '@agentos/sdk'

/** The pieces of an album come one by one, within a second or two; how many there are, nobody says. */
const WAIT_MS = 2_000
const KEPT_MS = 24 * 3_600_000

/** Which albums have words: those are answered once, for the piece with the words. */
export class Albums {
  private readonly state: Pick<StateClient, 'get' | 'set'>
  private readonly scope: string
  private readonly waiting = new Map<string, PromiseWithResolvers<void>>()

  constructor(state: Pick<StateClient, 'get' | 'set'>, scope: string) {
    this.state = state
    this.scope = scope
  }

  /** A piece with words has come; on disk when this resolves. */
  async note(id: string): Promise<void> {
    await persist(() => this.state.set(this.scope, keyOf(id), true, { ttlMs: KEPT_MS }))
    this.waiting.get(id)?.resolve()
  }

  /** Waits a moment where no piece with words has come yet. Pieces of one album are asked about one after the other. */
  async hasWords(id: string, signal: AbortSignal): Promise<boolean> {
    const noted = Promise.withResolvers<void>()
    this.waiting.set(id, noted)
    const over = new AbortController()
    try {
      if (await this.isNoted(id)) return true
      const end = AbortSignal.any([signal, over.signal])
      await Promise.race([noted.promise, delay(WAIT_MS, undefined, { signal: end })])
      return await this.isNoted(id)
    } finally {
      over.abort()
      this.waiting.delete(id)
    }
  }

  private async isNoted(id: string): Promise<boolean> {
    return (await persist(() => this.state.get<boolean>(this.scope, keyOf(id)))) === true
  }
}

function keyOf(id: string): string {
  return `album/${id}`
}
