import { AgentError, type HandlerContext, StateClient, type WorkerSelf } from '@agentos/sdk'
import { beforeEach, describe, expect, it } from 'vitest'
import { Settings } from './settings.ts'
import { Telegram } from './telegram.ts'

interface Stored {
  value: unknown
  version: number
}

/** What is stored, by scope and key. */
let records: Map<string, Map<string, Stored>>
let telegram: Telegram

beforeEach(() => {
  records = new Map()
  const log = { warn: () => {} }
  const self = { inRealm: () => ({ state, log }) } as unknown as WorkerSelf
  const settings = Settings.parse({ owners: [7] })
  telegram = new Telegram(self, settings, { token: `1:${'x'.repeat(30)}`, webhookSecret: undefined })
})

const state = new StateClient(async ({ function_id: id, payload }) => {
  const input = payload as { scope: string; key: string; value?: unknown; expectedVersion?: number }
  const { scope, key, value, expectedVersion } = input
  const values = records.get(scope) ?? new Map<string, Stored>()
  records.set(scope, values)
  const found = values.get(key)
  if (id === 'state::get') return structuredClone(found?.value)
  if (id === 'state::entries') return { entries: [...values].map(([name, stored]) => ({ key: name, ...stored })) }
  const version = found?.version ?? 0
  if (expectedVersion !== undefined && expectedVersion !== version) throw new AgentError('version_conflict', 'is there')
  values.set(key, { value: structuredClone(value), version: version + 1 })
  return { version: version + 1 }
})

function call(name: 'send' | 'ask', id: string, idempotencyKey: string | undefined): HandlerContext {
  const principal = { kind: 'system', id }
  return {
    state,
    functionId: `channel::telegram::${name}`,
    principal,
    realm: 'realm-default',
    idempotencyKey,
  } as HandlerContext
}

const waiting = async () => (await telegram.outbox.list()).map(({ content }) => content.rich.text)

describe('a call under a key', () => {
  it('sends what its caller wants, whoever else has used that key', async () => {
    await telegram.send('7', 'from a', undefined, call('send', 'a', 'k'))
    await telegram.send('7', 'from b', undefined, call('send', 'b', 'k'))
    await telegram.send('7', 'from a', undefined, call('send', 'a', 'k'))
    expect(await waiting()).toEqual(['from a', 'from b'])
  })

  it('that stands for other input is refused, and changes no message', async () => {
    await telegram.send('7', 'one', undefined, call('send', 'a', 'k'))
    const other = telegram.send('7', 'two', undefined, call('send', 'a', 'k'))
    await expect(other).rejects.toMatchObject({ code: 'key_reused' })
    await telegram.ask('req', 'May I?', undefined, call('ask', 'a', 'k'))
    const question = telegram.ask('req', 'Will you?', undefined, call('ask', 'a', 'k'))
    await expect(question).rejects.toMatchObject({ code: 'key_reused' })
    expect(await waiting()).toEqual(['one', 'May I?'])
  })

  it('asks about a request beside those who asked about it before', async () => {
    await telegram.ask('req', 'Shall I greet them?', undefined, call('ask', 'a', undefined))
    await telegram.ask('req', 'May I delete it all?', undefined, call('ask', 'b', undefined))
    expect(await waiting()).toEqual(['Shall I greet them?', 'May I delete it all?'])
  })
})
