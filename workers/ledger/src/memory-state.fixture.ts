import { AgentError, StateClient } from '@agentos/sdk'

/** A state in memory as the engine has it; `fail` breaks the next writes before or after they are stored. */
export function memoryState() {
  const records = new Map<string, unknown>()
  let failure: 'before' | 'after' | undefined
  let stored: (() => void) | undefined
  const at = (scope: unknown, key: unknown) => `${scope}\n${key}`
  const run = async (functionId: string, input: Record<string, unknown>): Promise<unknown> => {
    const id = at(input.scope, input.key)
    if (functionId === 'state::get') return structuredClone(records.get(id))
    if (functionId === 'state::set') {
      const failing = failure
      failure = undefined
      if (failing === 'before') throw new AgentError('engine_lost', 'before it was stored')
      if (input.expectedVersion === 0 && records.has(id)) throw new AgentError('version_conflict', 'is there')
      records.set(id, JSON.parse(JSON.stringify(input.value)))
      stored?.()
      stored = undefined
      if (failing === 'after') throw new AgentError('engine_lost', 'after it was stored')
      return { old_value: null, new_value: input.value, version: 1 }
    }
    if (functionId !== 'state::entries') throw new Error(`no ${functionId} here`)
    const prefix = at(input.scope, '')
    const keys = [...records.keys()]
      .filter((key) => key.startsWith(prefix) && (input.after === undefined || key > at(input.scope, input.after)))
      .toSorted()
    const limit = Number(input.limit ?? 100)
    const entries = keys.slice(0, limit).map((key) => ({
      key: key.slice(prefix.length),
      value: structuredClone(records.get(key)),
      version: 1,
    }))
    return keys.length > limit ? { entries, next: entries.at(-1)!.key } : { entries }
  }
  return {
    records,
    client: new StateClient(({ function_id, payload }) => run(function_id, payload as Record<string, unknown>)),
    fail(when: 'before' | 'after') {
      failure = when
    },
    /** Runs when the next record is stored and not yet answered. */
    whenStored(then: () => void) {
      stored = then
    },
    heal() {
      failure = undefined
    },
  }
}
