import type { TriggerRequest } from './api.ts'

/** One change of `state::update`; `path` is a single key, dots are no separators, '' is the value itself. */
export type UpdateOp =
  | { type: 'set'; path: string; value: unknown }
  | { type: 'merge'; path?: string | string[]; value: Record<string, unknown> }
  | { type: 'increment'; path: string; by: number }
  | { type: 'decrement'; path: string; by: number }
  | { type: 'append'; path?: string | string[]; value: unknown }
  | { type: 'remove'; path: string }

export interface WriteOptions {
  /** Writes only where the stored version is this one (0: nothing is stored); else `version_conflict`. */
  expectedVersion?: number
  /** Resolves before the write is on disk; it is lost where the engine dies within the next 50 ms. */
  relaxed?: boolean
}

export interface SetOptions extends WriteOptions {
  /** The value is gone after this many milliseconds. */
  ttlMs?: number
}

export interface StateWritten<T> {
  old_value: T | null
  new_value: T
}

/** What a write that named a version is answered with. */
export interface StateVersioned<T> extends StateWritten<T> {
  /** Counts the writes of this key, from 1. */
  version: number
}

type Written<T, O> = O extends { expectedVersion: number } ? StateVersioned<T> : StateWritten<T>

/** One of several writes that are made in one call; without `ops` it is a `set`. */
export type StateWrite = { scope: string; key: string } & SetOptions &
  ({ value: unknown } | { type: 'update'; ops: UpdateOp[] })

export interface UpdateOpError {
  op_index: number
  code: string
  message: string
}

export interface StateEntry<T> {
  key: string
  value: T
  version: number
}

export interface StatePage<T> {
  entries: StateEntry<T>[]
  /** To be passed as `after` for the next page; absent on the last. Nothing else says that it is the last. */
  next?: string
}

/**
 * The engine's durable key-value state, partitioned by the realm of the call. A write is on disk before its promise
 * resolves. Scopes that a manifest owns are closed to everybody else (`forbidden`).
 */
export class StateClient {
  private readonly trigger: (request: TriggerRequest) => Promise<unknown>

  constructor(trigger: (request: TriggerRequest) => Promise<unknown>) {
    this.trigger = trigger
  }

  /** The value, or `undefined` where there is none. */
  async get<T = unknown>(scope: string, key: string): Promise<T | undefined> {
    return ((await this.run('state::get', { scope, key })) ?? undefined) as T | undefined
  }

  /** The value with the version that `set` expects, or `undefined` where there is none. */
  async getWithVersion<T = unknown>(scope: string, key: string): Promise<StateEntry<T> | undefined> {
    const page = await this.entries<T>(scope, { prefix: key, limit: 1 })
    const [entry] = page.entries
    return entry?.key === key ? entry : undefined
  }

  async set<T = unknown, O extends SetOptions = SetOptions>(
    scope: string,
    key: string,
    value: T,
    options?: O,
  ): Promise<Written<T, O>> {
    return (await this.run('state::set', { scope, key, value, ...options })) as Written<T, O>
  }

  /** The deleted value, or `undefined` where there was none. */
  async delete<T = unknown>(scope: string, key: string, options: WriteOptions = {}): Promise<T | undefined> {
    return ((await this.run('state::delete', { scope, key, ...options })) ?? undefined) as T | undefined
  }

  /** Applies the operations in order, atomically; one that cannot be applied is skipped and reported in `errors`. */
  async update<T = unknown, O extends SetOptions = SetOptions>(
    scope: string,
    key: string,
    ops: UpdateOp[],
    options?: O,
  ): Promise<Written<T, O> & { errors?: UpdateOpError[] }> {
    return (await this.run('state::update', { scope, key, ops, ...options })) as Written<T, O> & {
      errors?: UpdateOpError[]
    }
  }

  /**
   * Up to 100 writes in one call, one after the other: each is on disk before the next begins, and the first that fails
   * ends them. Answers their versions, `null` for a write that expected none. Only for installed workers. The error of a
   * write has `written` in its details: how many came before it.
   */
  async writeInOrder(writes: readonly StateWrite[]): Promise<(number | null)[]> {
    const { versions } = (await this.run('engine::state::write', { writes })) as { versions: (number | null)[] }
    return versions
  }

  /**
   * Up to 100 values of one scope, none of them twice, in one commit: all are on disk when it resolves, or none is.
   * Answers as `writeInOrder`. Only for installed workers.
   */
  async writeAtomically(writes: readonly Exclude<StateWrite, { type: 'update' }>[]): Promise<(number | null)[]> {
    const payload = { writes, atomic: true }
    const { versions } = (await this.run('engine::state::write', payload)) as { versions: (number | null)[] }
    return versions
  }

  /** All values of a scope; over 10,000 or 8 MiB it is `payload_too_large`: where a scope grows, read `entries` page by page. */
  async list<T = unknown>(scope: string): Promise<T[]> {
    return (await this.run('state::list', { scope })) as T[]
  }

  /** A page of a scope, by key ascending. It ends at its limit (100 unless given), or before that at 8 MiB. */
  async entries<T = unknown>(
    scope: string,
    options: { prefix?: string; after?: string; limit?: number } = {},
  ): Promise<StatePage<T>> {
    return (await this.run('state::entries', { scope, ...options })) as StatePage<T>
  }

  /** Scopes that hold something, sorted. */
  async groups(): Promise<string[]> {
    const { groups } = (await this.run('state::list_groups', {})) as { groups: string[] }
    return groups
  }

  private run(functionId: string, payload: unknown): Promise<unknown> {
    return this.trigger({ function_id: functionId, payload })
  }
}
