import type { StateClient, UpdateOp } from '@agentos/sdk'
import { persist } from './durable.ts'

/** What is remembered of a conversation; absent fields were never set. */
interface Stored {
  agentId?: string | null
  generation?: number
  stoppedAt?: number
}

export interface Conversation {
  /** Bound by /agent or `bind`; null where the channel's default answers. */
  agentId: string | null
  /** The memory that its messages share. */
  sessionId: string
  /** Messages up to this place are not answered any more. */
  stoppedAt: number
}

/** Agent, session and stop of each conversation of a channel. */
export class Conversations {
  private readonly state: Pick<StateClient, 'get' | 'update' | 'entries'>
  private readonly scope: string
  private readonly channel: string

  constructor(parts: { state: Pick<StateClient, 'get' | 'update' | 'entries'>; scope: string; channel: string }) {
    this.state = parts.state
    this.scope = parts.scope
    this.channel = parts.channel
  }

  async get(id: string): Promise<Conversation> {
    return this.read(id, await persist(() => this.state.get<Stored>(this.scope, id)))
  }

  /** A session of its own from here on. */
  renew(id: string): Promise<void> {
    return this.change(id, { type: 'increment', path: 'generation', by: 1 })
  }

  /** `null` gives it back to the default agent. */
  bind(id: string, agentId: string | null): Promise<void> {
    return this.change(id, { type: 'set', path: 'agentId', value: agentId })
  }

  stop(id: string, place: number): Promise<void> {
    return this.change(id, { type: 'set', path: 'stoppedAt', value: place })
  }

  /** Those that are bound to an agent. */
  async bound(): Promise<{ conversation: string; agentId: string }[]> {
    const found: { conversation: string; agentId: string }[] = []
    for (let after: string | undefined; ; ) {
      const page = await this.state.entries<Stored>(this.scope, after === undefined ? {} : { after })
      for (const { key, value } of page.entries) {
        if (value.agentId) found.push({ conversation: key, agentId: value.agentId })
      }
      if (page.next === undefined) return found
      after = page.next
    }
  }

  private async change(id: string, op: UpdateOp): Promise<void> {
    await persist(() => this.state.update(this.scope, id, [op]))
  }

  private read(id: string, stored: Stored | undefined): Conversation {
    const generation = stored?.generation ?? 0
    const sessionId = `${this.channel}:${id}${generation === 0 ? '' : `:${generation}`}`
    return { agentId: stored?.agentId ?? null, sessionId, stoppedAt: stored?.stoppedAt ?? -1 }
  }
}
