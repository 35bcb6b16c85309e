import { type IIIClient, registerWorker } from '@agentos/sdk'
import { startEngine } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

let system: Awaited<ReturnType<typeof startEngine>>
let client: IIIClient

beforeAll(async () => {
  system = await startEngine()
  client = registerWorker(system.wsUrl)
})
afterAll(async () => {
  await client?.shutdown()
  await system?.[Symbol.asyncDispose]()
})

describe('a large answer', () => {
  it('of state is refused past 8 MiB, and comes page by page', async () => {
    const value = 'x'.repeat(1_000_000)
    const keys = Array.from({ length: 10 }, (_, n) => `k${n}`)
    for (const key of keys) {
      await client.trigger({ function_id: 'state::set', payload: { scope: 'large', key, value } })
    }
    const list = client.trigger({ function_id: 'state::list', payload: { scope: 'large' } })
    await expect(list).rejects.toMatchObject({
      code: 'payload_too_large',
      message: expect.stringContaining('state::entries {scope, after, limit}'),
    })
    const pages: string[][] = []
    let after: string | undefined
    do {
      const page: { entries: { key: string }[]; next?: string } = await client.trigger({
        function_id: 'state::entries',
        payload: { scope: 'large', ...(after === undefined ? {} : { after }) },
      })
      pages.push(page.entries.map(({ key }) => key))
      after = page.next
    } while (after !== undefined)
    expect(pages).toEqual([keys.slice(0, 8), keys.slice(8)])
  })
})

describe('JSON that is nested two million deep', () => {
  it('is refused to its caller, and the engine goes on', async () => {
    const body = '['.repeat(2_000_000) + ']'.repeat(2_000_000)
    const headers = { 'content-type': 'application/json' }
    const send = (path: string, text: string) =>
      fetch(`${system.httpUrl}${path}`, { method: 'POST', headers, body: text })
    const call = `{"functionId":"state::set","payload":{"scope":"s","key":"k","value":${body}}}`
    const answers = await Promise.all(Array.from({ length: 6 }, () => send('/v1/functions/call', call)))
    for (const answer of answers) {
      expect(answer.status).toBe(400)
      expect(await answer.json()).toMatchObject({ code: 'invalid_input' })
    }
    expect(await client.trigger({ function_id: 'state::get', payload: { scope: 's', key: 'k' } })).toBeUndefined()
  })
})
