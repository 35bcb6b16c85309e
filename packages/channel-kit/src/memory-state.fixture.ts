import { InvocationError, type StateEntry } from '@agentos/sdk'
import type { OutboxState } from './outbox.ts'

/** The state of an engine, in memory; what is written is a copy, as over a socket. It outlives the outboxes of a test. */
export class MemoryState implements OutboxState {
  /** Writes that fail before they are done, as with an engine that restarts. */
  failures = 0
  readonly values = new Map<string, unknown>()

  async get<T>(_scope: string, key: string): Promise<T | undefined> {
    return structuredClone(this.values.get(key)) as T | undefined
  }

  async set<T>(_scope: string, key: string, value: T) {
    if (this.failures > 0) {
      this.failures -= 1
      throw new InvocationError({ code: 'engine_lost', message: 'The engine restarts' })
    }
    this.values.set(key, structuredClone(value))
    return { old_value: null, new_value: value, version: 1 }
  }

  async entries<T>() {
    const entries = [...this.values].map(([key, value]) => ({ key, value: structuredClone(value), version: 1 }))
    return { entries: entries.sort((a, b) => (a.key < b.key ? -1 : 1)) as StateEntry<T>[] }
  }
}
