import { InvocationError, type SetOptions, type StateEntry, type UpdateOp } from '@agentos/sdk'

interface Stored {
  value: unknown
  version: number
}

/** The state of an engine, in memory; what is written is a copy, as over a socket. It outlives the outboxes of a test. */
export class MemoryState {
  /** Writes that fail before they are done, as with an engine that restarts. */
  failures = 0
  /** Writes that are refused for good, by their key. */
  refuses: (key: string) => boolean = () => false
  /** Writes that are done, and whose answer is lost. */
  lostAnswers = 0
  private readonly scopes = new Map<string, Map<string, Stored>>()

  /** What a scope holds, by key. */
  valuesOf(scope: string): Map<string, unknown> {
    return new Map([...this.in(scope)].map(([key, { value }]) => [key, value]))
  }

  async get<T>(scope: string, key: string): Promise<T | undefined> {
    return structuredClone(this.in(scope).get(key)?.value) as T | undefined
  }

  async set<T>(scope: string, key: string, value: T, { expectedVersion }: SetOptions = {}) {
    if (this.failures > 0) {
      this.failures -= 1
      throw new InvocationError({ code: 'engine_lost', message: 'The engine restarts' })
    }
    if (this.refuses(key)) throw new InvocationError({ code: 'forbidden', message: 'This is refused' })
    const found = this.in(scope).get(key)
    const version = found?.version ?? 0
    if (expectedVersion !== undefined && expectedVersion !== version) {
      throw new InvocationError({ code: 'version_conflict', message: `The version is ${version}` })
    }
    this.in(scope).set(key, { value: structuredClone(value), version: version + 1 })
    if (this.lostAnswers > 0) {
      this.lostAnswers -= 1
      throw new InvocationError({ code: 'in_doubt', message: 'The engine went away' })
    }
    return { old_value: (found?.value ?? null) as T | null, new_value: value, version: version + 1 }
  }

  async update<T>(scope: string, key: string, ops: UpdateOp[]) {
    const before = (await this.get<Record<string, unknown>>(scope, key)) ?? {}
    const changed = { ...before }
    for (const op of ops) {
      if (op.type === 'set') changed[op.path] = op.value
      else if (op.type === 'increment') changed[op.path] = Number(changed[op.path] ?? 0) + op.by
      else throw new Error(`${op.type} is not simulated`)
    }
    return this.set(scope, key, changed as T)
  }

  async entries<T>(scope: string) {
    const entries = [...this.in(scope)].map(([key, stored]) => ({ key, ...structuredClone(stored) }))
    return { entries: entries.sort((a, b) => (a.key < b.key ? -1 : 1)) as StateEntry<T>[] }
  }

  private in(scope: string): Map<string, Stored> {
    let found = this.scopes.get(scope)
    if (!found) {
      found = new Map()
      this.scopes.set(scope, found)
    }
    return found
  }
}
