import { InvocationError, StateClient } from '@agentos/sdk'

interface Stored {
  value: unknown
  version: number
}

/** A state in memory with the engine's results. `intercept` runs before every operation, and may throw or wait. */
export function memoryState() {
  const records = new Map<string, Stored>()
  const at = (scope: unknown, key: unknown) => `${scope}\n${key}`
  let before: ((functionId: string) => Promise<void> | void) | undefined
  const set = (id: string, input: Record<string, unknown>): unknown => {
    const version = records.get(id)?.version ?? 0
    if (input.expectedVersion !== undefined && input.expectedVersion !== version) {
      throw new InvocationError({
        code: 'version_conflict',
        message: `has version ${version}`,
        function_id: 'state::set',
      })
    }
    records.set(id, { value: JSON.parse(JSON.stringify(input.value)), version: version + 1 })
    return { old_value: null, new_value: input.value, version: version + 1 }
  }
  const entries = (input: Record<string, unknown>): unknown => {
    const prefix = at(input.scope, input.prefix ?? '')
    const keys = [...records.keys()]
      .filter((key) => key.startsWith(prefix) && (input.after === undefined || key > at(input.scope, input.after)))
      .toSorted()
    const limit = Number(input.limit ?? 100)
    const page = keys.slice(0, limit).map((key) => {
      const { value, version } = records.get(key)!
      return { key: key.split('\n')[1]!, value: structuredClone(value), version }
    })
    return keys.length > limit ? { entries: page, next: page.at(-1)!.key } : { entries: page }
  }
  const run = async (functionId: string, input: Record<string, unknown>): Promise<unknown> => {
    await before?.(functionId)
    const id = at(input.scope, input.key)
    if (functionId === 'state::set') return set(id, input)
    if (functionId === 'state::entries') return entries(input)
    if (functionId === 'state::delete') return void records.delete(id)
    throw new Error(`no ${functionId} here`)
  }
  return {
    records,
    client: new StateClient(({ function_id, payload }) => run(function_id, payload as Record<string, unknown>)),
    intercept(hook: typeof before) {
      before = hook
    },
  }
}
