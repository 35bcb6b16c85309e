import { AgentError, StateClient } from '@agentos/sdk'

interface Stored {
  value: unknown
  version: number
}

/** A state in memory with the engine's results, for tests; `records` is open to be tampered with. */
export function memoryState() {
  const records = new Map<string, Stored>()
  const at = (scope: unknown, key: unknown) => `${scope}\n${key}`
  let before: ((functionId: string) => Promise<void> | void) | undefined
  let killed = false
  const run = async (functionId: string, input: Record<string, unknown>): Promise<unknown> => {
    await before?.(functionId)
    const id = at(input.scope, input.key)
    switch (functionId) {
      case 'state::get':
        return structuredClone(records.get(id)?.value)
      case 'state::set': {
        const version = records.get(id)?.version ?? 0
        if (input.expectedVersion !== undefined && input.expectedVersion !== version) {
          throw new AgentError('version_conflict', `has version ${version}`)
        }
        const value = JSON.parse(JSON.stringify(input.value))
        records.set(id, { value, version: version + 1 })
        if (killed) {
          killed = false
          throw new Error('killed after the write')
        }
        return { old_value: null, new_value: value, version: version + 1 }
      }
      case 'state::delete': {
        const old = records.get(id)?.value
        records.delete(id)
        return old
      }
      case 'state::entries': {
        const prefix = at(input.scope, input.prefix ?? '')
        const keys = [...records.keys()]
          .filter((key) => key.startsWith(prefix) && (input.after === undefined || key > at(input.scope, input.after)))
          .toSorted()
        const limit = Number(input.limit ?? 100)
        const entries = keys.slice(0, limit).map((key) => {
          const { value, version } = records.get(key)!
          return { key: key.split('\n')[1]!, value: structuredClone(value), version }
        })
        return keys.length > limit ? { entries, next: entries.at(-1)!.key } : { entries }
      }
      default:
        throw new Error(`no ${functionId} here`)
    }
  }
  return {
    records,
    client: new StateClient(({ function_id, payload }) => run(function_id, payload as Record<string, unknown>)),
    /** The next write is stored, and its writer never hears of it. */
    killAfterWrite() {
      killed = true
    },
    /** Runs before every operation; may throw. */
    intercept(hook: typeof before) {
      before = hook
    },
  }
}
