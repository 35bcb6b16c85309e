import type { StateClient, UpdateOp } from '@agentos/sdk'
import { persist } from './durable.ts'

/** What is remembered of a conversation; absent fields were never set. */
interface Stored {
  agentId?: string | null
  generation?: number
  stoppedAt?: number
  /** The conversation that this one has become. */
  movedTo?: string
  /** The conversation that this one was, and whose session goes on. */
  origin?: string
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
  private moving: Promise<unknown> = Promise.resolve()

  constructor(parts: { state: Pick<StateClient, 'get' | 'update' | 'entries'>; scope: string; channel: string }) {
    this.state = parts.state
    this.scope = parts.scope
    this.channel = parts.channel
  }

  async get(id: string): Promise<Conversation> {
    const { name, stored } = await this.locate(id)
    return this.read(name, stored)
  }

  /** It has become another one, as the service says: agent and session go along, and its places are counted anew. */
  move(from: string, to: string): Promise<void> {
    const moved = this.moving.then(() => this.carryOver(from, to))
    // One at a time: the service says it in several ways at once.
    this.moving = moved.catch(() => {})
    return moved
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
        if (value.agentId && value.movedTo === undefined) found.push({ conversation: key, agentId: value.agentId })
      }
      if (page.next === undefined) return found
      after = page.next
    }
  }

  private async carryOver(from: string, to: string): Promise<void> {
    const { name, stored } = await this.locate(from)
    if (name === to) return
    const there = await persist(() => this.state.get<Stored>(this.scope, to))
    // What was chosen there already stands.
    if (there?.origin === undefined) {
      const generation = (stored?.generation ?? 0) + (there?.generation ?? 0)
      const agentId = there?.agentId ?? stored?.agentId ?? null
      await this.write(to, { origin: stored?.origin ?? name, generation, agentId })
    }
    await this.write(name, { movedTo: to })
  }

  /** What a conversation is called now, and what is remembered of it. */
  private async locate(id: string): Promise<{ name: string; stored: Stored | undefined }> {
    for (let name = id; ; ) {
      const at = name
      const stored = await persist(() => this.state.get<Stored>(this.scope, at))
      if (stored?.movedTo === undefined) return { name, stored }
      name = stored.movedTo
    }
  }

  private async change(id: string, op: UpdateOp): Promise<void> {
    const { name } = await this.locate(id)
    await persist(() => this.state.update(this.scope, name, [op]))
  }

  private async write(id: string, values: Stored): Promise<void> {
    const ops = Object.entries(values).map(([path, value]): UpdateOp => ({ type: 'set', path, value }))
    await persist(() => this.state.update(this.scope, id, ops))
  }

  private read(id: string, stored: Stored | undefined): Conversation {
    const generation = stored?.generation ?? 0
    const sessionId = `${this.channel}:${stored?.origin ?? id}${generation === 0 ? '' : `:${generation}`}`
    return { agentId: stored?.agentId ?? null, sessionId, stoppedAt: stored?.stoppedAt ?? -1 }
  }
}
