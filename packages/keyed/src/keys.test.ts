import { AgentError, StateClient } from '@agentos/sdk'
import { beforeEach, describe, expect, it } from 'vitest'
import { isFirst, type KeyedCall, Keys, under } from './keys.ts'

const WEEK_MS = 7 * 24 * 3_600_000
const CALL: KeyedCall = {
  functionId: 'test::do',
  idempotencyKey: 'run-1/2',
  principal: { kind: 'agent', id: 'a' },
  realm: 'r',
}

let records: Map<string, unknown>
let writes: { ttlMs?: number; relaxed?: boolean }[]
/** What was carried out, and whether it was for a plan that was there already. */
let done: { plan: number; again: boolean }[]
let keys: Keys
let failing: boolean

beforeEach(() => {
  records = new Map()
  writes = []
  done = []
  keys = new Keys()
  failing = false
})

const state = new StateClient(async ({ function_id: id, payload }) => {
  const { scope, key, value, expectedVersion, ...options } = payload as Record<string, never>
  const at = `${scope} ${key}`
  if (id === 'state::get') return records.get(at)
  if (expectedVersion === 0 && records.has(at)) throw new AgentError('version_conflict', 'is there')
  if (failing && !('expectedVersion' in (payload as object))) throw new AgentError('engine_lost', 'gone')
  records.set(at, structuredClone(value))
  writes.push(options)
  return { version: 1 }
})

let plans = 0
function once(call = CALL, input: unknown = { n: 1 }, fail = false): Promise<string> {
  return keys.once<number, string>(
    { state, scope: 'test-keys', call, input },
    {
      plan: () => ++plans,
      carryOut: async (plan, again) => {
        done.push({ plan, again })
        if (fail) throw new AgentError('internal', 'half way')
        return `answer of ${plan}`
      },
    },
  )
}

describe('a call under a key', () => {
  it('is carried out once, at the same time and in another process, and kept for a week', async () => {
    const [first, second] = await Promise.all([once(), once()])
    keys = new Keys()
    expect([second, await once()]).toEqual([first, first])
    expect(done).toHaveLength(1)
    expect(writes.every(({ ttlMs }) => ttlMs === WEEK_MS)).toBe(true)
  })

  it('that failed half way, or whose answer was not kept, is carried out again with the plan that it had', async () => {
    await expect(once(CALL, { n: 1 }, true)).rejects.toThrow('half way')
    failing = true
    const answer = await once()
    failing = false
    expect(await once()).toBe(answer)
    expect(done.map(({ again }) => again)).toEqual([false, true, true])
    expect(new Set(done.map(({ plan }) => plan)).size).toBe(1)
  })

  it('is that of one realm, principal and function; another input is refused', async () => {
    await once()
    await once({ ...CALL, functionId: 'test::other' })
    await once({ ...CALL, principal: { kind: 'agent', id: 'b' } })
    expect(done).toHaveLength(3)
    await expect(once(CALL, { n: 2 })).rejects.toMatchObject({ code: 'key_reused' })
  })

  it('is not kept where it has none', async () => {
    const { idempotencyKey: _, ...unkeyed } = CALL
    for (let n = 0; n < 2; n += 1) await once({ ...unkeyed, idempotencyKey: undefined })
    expect(done).toHaveLength(2)
    expect(writes).toEqual([])
  })

  it('is the first only once', async () => {
    const request = { state, scope: 'test-keys', call: CALL, input: {} }
    expect([await isFirst(request), await isFirst(request)]).toEqual([true, false])
    const unkeyed = { ...request, call: { ...CALL, idempotencyKey: undefined } }
    expect([await isFirst(unkeyed), await isFirst(unkeyed)]).toEqual([true, true])
  })

  it('gives those that it makes keys of their own', () => {
    expect(under(CALL, 'audit')).toEqual({ idempotencyKey: 'run-1/2/audit' })
    expect(under({ ...CALL, idempotencyKey: undefined }, 'audit')).toEqual({})
  })
})
