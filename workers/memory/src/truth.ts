import { type Caller, InvocationError, type StateClient, type StateEntry } from '@agentos/sdk'
import { inBatches } from './batches.ts'

/** A change of the state, as `state::changes` answers it. */
export interface Change {
  scope: string
  key: string
  value?: unknown
  deleted: boolean
  version: number
  seq: number
}

const PAGE = 500

/** One page of what changed in the scopes of this prefix after a sequence, ascending. */
export async function changesAfter(caller: Caller, prefix: string, after: number, limit = PAGE): Promise<Change[]> {
  const { changes } = await caller.trigger<{ changes: Change[] }>({
    function_id: 'state::changes',
    payload: { scopes_prefix: prefix, after, limit },
  })
  return changes
}

/** Every entry of a scope, page by page. */
export async function* entriesOf<T>(
  state: StateClient,
  scope: string,
  range: { after?: string; prefix?: string } = {},
): AsyncGenerator<StateEntry<T>> {
  let after = range.after
  for (;;) {
    const page = await state.entries<T>(scope, {
      limit: PAGE,
      ...(range.prefix === undefined ? {} : { prefix: range.prefix }),
      ...(after === undefined ? {} : { after }),
    })
    yield* page.entries
    if (page.next === undefined) return
    after = page.next
  }
}

/** Deletes all entries of a scope and says how many there were. */
export async function deleteScope(state: StateClient, scope: string): Promise<number> {
  const keys: string[] = []
  for await (const { key } of entriesOf(state, scope)) keys.push(key)
  await inBatches(keys, (key) => state.delete(scope, key))
  return keys.length
}

export function isConflict(error: unknown): boolean {
  return error instanceof InvocationError && error.code === 'version_conflict'
}

const ATTEMPTS = 8

/**
 * Reads, changes and writes one record with compare-and-set, again where somebody else was faster. `change` answers
 * the new value, or nothing where there is nothing to write; the result is what is stored afterwards.
 */
export async function revise<T>(
  state: StateClient,
  scope: string,
  key: string,
  change: (current: T | undefined) => T | undefined,
): Promise<T | undefined> {
  for (let attempt = 1; ; attempt++) {
    const current = await state.getWithVersion<T>(scope, key)
    const next = change(current?.value)
    if (next === undefined) return current?.value
    try {
      await state.set(scope, key, next, { expectedVersion: current?.version ?? 0 })
      return next
    } catch (error) {
      if (!isConflict(error) || attempt === ATTEMPTS) throw error
    }
  }
}
