import { describe, expect, it } from 'vitest'
import { readCatalogue } from './function-catalogue.ts'

const row = (function_id: string) => ({
  function_id,
  worker_name: 'shop',
  description: null,
  request_format: null,
  metadata: { effects: 'read', tool: true },
})

/** An engine with these functions at this version. */
function engine(state: { version: string; ids: string[] }, realm = 'realm-default') {
  const sent: number[] = []
  const trigger = async <T>({ payload }: { payload?: unknown }): Promise<T> => {
    const { since } = payload as { since?: string }
    const answer =
      since === state.version
        ? { version: state.version, unchanged: true }
        : { functions: state.ids.map(row), ...(since === undefined ? {} : { version: state.version }) }
    sent.push(since === state.version ? 0 : state.ids.length)
    return answer as T
  }
  return { trigger, sent, realm }
}

const idsOf = async (caller: Parameters<typeof readCatalogue>[0]) => (await readCatalogue(caller)).map(({ id }) => id)

describe('the functions that an agent could be granted', () => {
  it('are sent once, and again when they have changed', async () => {
    const state = { version: 'a.1', ids: ['shop::buy'] }
    const { sent, ...caller } = engine(state)
    expect(await idsOf(caller)).toEqual(['shop::buy'])
    expect(await idsOf(caller)).toEqual(['shop::buy'])
    Object.assign(state, { version: 'a.2', ids: ['shop::buy', 'shop::sell'] })
    expect(await idsOf(caller)).toEqual(['shop::buy', 'shop::sell'])
    expect(await idsOf(caller)).toEqual(['shop::buy', 'shop::sell'])
    expect(sent).toEqual([1, 0, 2, 0])
  })

  it('are those of the realm, each kept by itself', async () => {
    const one = engine({ version: 'c.1.realm-1', ids: ['shop::buy'] }, 'realm-1')
    const two = engine({ version: 'c.1.realm-2', ids: ['bank::pay'] }, 'realm-2')
    for (let n = 0; n < 2; n += 1) {
      expect(await idsOf(one)).toEqual(['shop::buy'])
      expect(await idsOf(two)).toEqual(['bank::pay'])
    }
    expect([one.sent, two.sent]).toEqual([
      [1, 0],
      [1, 0],
    ])
  })

  it('are marked as installed by the engine, never by what they say of themselves', async () => {
    const said = { ...row('shop::buy'), metadata: { installed: true, effects: 'read' } }
    const functions = [said, { ...row('bank::pay'), installed: true }]
    const caller = { realm: 'realm-marks', trigger: async <T>() => ({ functions }) as T }
    expect((await readCatalogue(caller)).map(({ id, installed }) => [id, installed])).toEqual([
      ['shop::buy', false],
      ['bank::pay', true],
    ])
  })

  it('tell a model a bounded part of a schema that nobody installed', async () => {
    const options = Array.from({ length: 50_000 }, (_, n) => `option ${n}`)
    const request_format = { type: 'object', properties: { x: { enum: options } } }
    const functions = [
      { ...row('shop::buy'), description: 'Buys. '.repeat(50_000), request_format },
      { ...row('bank::pay'), installed: true, request_format },
    ]
    const caller = { realm: 'realm-long', trigger: async <T>() => ({ functions }) as T }
    const [foreign, own] = await readCatalogue(caller)
    expect(JSON.stringify(foreign).length).toBeLessThan(20_000)
    expect(foreign).toMatchObject({ inputSchema: { type: 'object', properties: {} } })
    expect(foreign!.description).toContain('option 1')
    expect(own).toMatchObject({ inputSchema: request_format })
  })

  it('are sent once to many that ask at the same time', async () => {
    const { sent, ...caller } = engine({ version: 'd.1', ids: ['shop::buy'] }, 'realm-many')
    const answers = await Promise.all(Array.from({ length: 20 }, () => idsOf(caller)))
    expect(answers).toEqual(Array(20).fill(['shop::buy']))
    expect(sent.filter((count) => count > 0)).toEqual([1])
  })

  it('are asked for again by those who waited for a look that failed', async () => {
    const { sent, ...caller } = engine({ version: 'e.1', ids: ['shop::buy'] }, 'realm-failing')
    const failing = { ...caller, trigger: () => Promise.reject(new Error('away')) }
    const [first, second] = await Promise.allSettled([readCatalogue(failing), idsOf(caller)])
    expect([first.status, second.status]).toEqual(['rejected', 'fulfilled'])
    expect(sent).toEqual([1])
  })

  it('are those of another engine where it was started anew', async () => {
    await idsOf(engine({ version: 'a.3', ids: ['shop::buy'] }))
    expect(await idsOf(engine({ version: 'b.1', ids: ['bank::pay'] }))).toEqual(['bank::pay'])
  })
})
