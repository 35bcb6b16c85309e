import { InvocationError } from '@agentos/sdk'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createStateModule } from '../../engine/src/modules/state/module.ts'
import { TestHost } from '../../engine/test/host.ts'
import { MAX_VALUE_BYTES, StateDouble } from './state-double.ts'

const MAX = 60
/** Of an answer: two or three values. */
const MAX_ANSWER = 200
const workers = [{ name: 'w', owns: { scopes: ['mine', 'mine:*'], streams: [], topics: [] } }]
const theirs = [{ name: 'other', owns: { scopes: ['theirs'], streams: [], topics: [] } }]

/** The real module and the double, with the same limits and the same clock. */
function both() {
  const host = new TestHost([createStateModule({ maxValueBytes: MAX, maxAnswerBytes: MAX_ANSWER })], {
    workers: [...workers, ...theirs],
  })
  const limits = { maxValueBytes: MAX, maxAnswerBytes: MAX_ANSWER }
  const double = new StateDouble({ scopes: ['mine', 'mine:*'], ...limits, now: () => host.time.now() })
  const real = (id: string, input: object): unknown => {
    const result = host.call(id, input, { worker: 'w', kind: 'system', realm: 'realm-default' })!
    if (!result.ok) {
      // Where it lies in the store, and whose it is, the engine alone knows.
      const { partition: _inside, owner: _whose, ...details } = (result.error.details ?? {}) as Record<string, unknown>
      return { code: result.error.code, details }
    }
    return result.payload && 'value' in result.payload ? result.payload.value : undefined
  }
  const faked = async (id: string, input: object): Promise<unknown> => {
    try {
      return await double.run(id, input as Record<string, unknown>)
    } catch (error) {
      if (error instanceof InvocationError) return { code: error.code, details: error.details ?? {} }
      throw error
    }
  }
  return { host, real, faked }
}

const scope = fc.constantFrom('mine', 'mine:a', 'theirs')
const key = fc.constantFrom('a', 'a/b', 'aa', '', '\u{FFFD}', '\u{1F600}', '\u{10FFFF}x')
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const step = fc.oneof(
  fc.record({
    id: fc.constant('state::set'),
    input: fc.record({
      scope,
      key,
      value: maybe(fc.oneof(fc.string({ maxLength: 80 }), fc.constant(null), fc.constant({ n: undefined, m: 1 }))),
      expectedVersion: maybe(fc.constantFrom(0, 1, 2, 3, -1)),
      ttlMs: maybe(fc.constantFrom(0, 1, 50)),
    }),
  }),
  fc.record({
    id: fc.constant('engine::state::write'),
    input: fc.record({
      atomic: maybe(fc.boolean()),
      writes: fc.array(
        fc.record({
          scope,
          key,
          value: maybe(fc.string({ maxLength: 70 })),
          expectedVersion: maybe(fc.constantFrom(0, 1, 2, 3)),
        }),
        { maxLength: 4 },
      ),
    }),
  }),
  fc.record({ id: fc.constant('state::get'), input: fc.record({ scope, key }) }),
  fc.record({
    id: fc.constant('state::delete'),
    input: fc.record({ scope, key, expectedVersion: maybe(fc.constantFrom(0, 1, 2)) }),
  }),
  fc.record({ id: fc.constant('state::list'), input: fc.record({ scope }) }),
  fc.record({
    id: fc.constant('state::entries'),
    input: fc.record({
      scope,
      prefix: maybe(fc.constantFrom('', 'a', 'b')),
      after: maybe(key),
      limit: maybe(fc.constantFrom(1, 2, 1_000, 1_001, 0)),
    }),
  }),
  fc.record({
    id: fc.constant('state::changes'),
    input: fc.record({ scopes_prefix: fc.constant('mine'), limit: maybe(fc.constantFrom(1, 3, 1_001)) }),
  }),
  fc.record({ id: fc.constant('wait'), input: fc.record({ ms: fc.constantFrom(1, 49, 50) }) }),
)

/** Sequences are the store's own: the order is what counts. */
function comparable(id: string, answer: unknown): unknown {
  if (id !== 'state::changes' || typeof answer !== 'object' || answer === null || !('changes' in answer)) return answer
  return (answer.changes as { seq: number }[]).map(({ seq: _seq, ...change }) => change)
}

describe('the state that tests of workers stand on', () => {
  it('answers and refuses as the engine’s own does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { host, real, faked } = both()
        for (const { id, input } of steps) {
          if (id === 'wait') {
            host.time.advance((input as { ms: number }).ms)
            continue
          }
          // As it comes over a socket.
          const sent = JSON.parse(JSON.stringify(input)) as object
          const wanted = comparable(id, real(id, sent))
          expect(comparable(id, await faked(id, input)), `${id} ${JSON.stringify(input)}`).toEqual(wanted)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('has the limits of an engine that config.yaml says nothing about', () => {
    const host = new TestHost([createStateModule()])
    const error = host.error('state::set', { scope: 's', key: 'k', value: 'x'.repeat(MAX_VALUE_BYTES) })
    expect(error).toMatchObject({ code: 'VALUE_TOO_LARGE', details: { maxValueBytes: MAX_VALUE_BYTES } })
  })
})
