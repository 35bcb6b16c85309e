import type { StateClient } from '@agentos/sdk'
import { persist } from './durable.ts'
import type { Button } from './outbox-entry.ts'

/** What is said at the end of a turn, in the agent's Markdown. */
export interface Answer {
  markdown: string
  buttons?: Button[]
  /** It is a question: the run waits, and what it comes to is said later. */
  waits?: { runId: string; asked: string }
}

/** Who is asked, and in which memory; the same at every attempt, whatever was bound meanwhile. */
export interface Target {
  agentId: string
  sessionId: string
}

/** How far a message is. `answered`: the answer is known and is not computed again, whatever happens before it is sent. */
export interface Turn {
  state: 'chatting' | 'answered' | 'done'
  /** How often the agent was asked. */
  attempts: number
  target?: Target
  answer?: Answer
}

/** No service delivers an event again after so long. */
const KEPT_MS = 7 * 24 * 3_600_000

export class Turns {
  private readonly state: Pick<StateClient, 'get' | 'set'>
  private readonly scope: string

  constructor(state: Pick<StateClient, 'get' | 'set'>, scope: string) {
    this.state = state
    this.scope = scope
  }

  get(eventId: string): Promise<Turn | undefined> {
    return persist(() => this.state.get<Turn>(this.scope, eventId))
  }

  async set(eventId: string, turn: Turn): Promise<void> {
    await persist(() => this.state.set(this.scope, eventId, turn, { ttlMs: KEPT_MS }))
  }
}
