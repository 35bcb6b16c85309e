import type { Principal } from '@agentos/sdk'
import { beforeEach, describe, expect, it } from 'vitest'
import { MemoryState } from './memory-state.fixture.ts'
import { Outbox } from './outbox.ts'
import { Pacer } from './pacer.ts'
import { type SendCall, Sends } from './sends.ts'

let state: MemoryState
let outbox: Outbox
let sends: Sends
/** What the service was asked to show, in order. */
let sent: string[]

beforeEach(async () => {
  state = new MemoryState()
  sent = []
  outbox = await open()
  sends = newSends()
})

async function open(): Promise<Outbox> {
  const transport = {
    send: async (conversation: string, { rich }: { rich: { text: string } }) => {
      sent.push(`${conversation}: ${rich.text}`)
      return String(sent.length)
    },
    edit: async (conversation: string, _id: string, { rich }: { rich: { text: string } }) => {
      sent.push(`edited ${conversation}: ${rich.text}`)
    },
  }
  const pacer = new Pacer({ intervalMs: () => 0, overall: { count: 100, perMs: 1 } })
  const opened = new Outbox({ state, scope: 'outbox', transport, pacer, log: { warn: () => {} } })
  await opened.open()
  return opened
}

const newSends = (limit = 20) => new Sends({ outbox, scope: 'keys', limit })
const agent = (id: string): Principal => ({ kind: 'agent', id })
const call = (principal: Principal, idempotencyKey?: string, functionId = 'channel::test::send'): SendCall => ({
  ...{ state, functionId, principal, realm: 'r' },
  idempotencyKey,
})
const send = (text: string, by: SendCall, to = 'chat') => sends.send({ to, text }, by)
const question = (text: string, requestId = 'req') => ({ requestId, text, buttons: [], conversations: ['chief'] })
const code = (work: Promise<unknown>) =>
  work.then(
    () => 'no failure',
    (error: { code: string }) => error.code,
  )
/** All that was put there has gone out. */
const settled = () => expect.poll(async () => (await outbox.list()).length).toBe(0)

describe('a send', () => {
  it('under a key is one message, at once and again, and with another outbox too', async () => {
    const [first, second] = await Promise.all([
      send('hello', call(agent('a'), 'k')),
      send('hello', call(agent('a'), 'k')),
    ])
    await settled()
    outbox = await open()
    sends = newSends()
    expect([second, await send('hello', call(agent('a'), 'k'))]).toEqual([first, first])
    expect(sent).toEqual(['chat: hello'])
  })

  it('of another caller under the same key is a message of its own', async () => {
    await send('from a', call(agent('a'), 'k'))
    await send('from b', call(agent('b'), 'k'))
    await send('from a', call({ kind: 'system', id: 'a' }, 'k'))
    await settled()
    expect(sent).toEqual(['chat: from a', 'chat: from b', 'chat: from a'])
  })

  it('with other input under its key is refused, and changes nothing', async () => {
    const by = call(agent('a'), 'k')
    await send('one', by)
    expect(await code(send('two', by))).toBe('key_reused')
    expect(await code(send('one', by, 'elsewhere'))).toBe('key_reused')
    expect(await code(sends.send({ to: 'chat', text: 'one', replyTo: '7' }, by))).toBe('key_reused')
    await settled()
    expect(sent).toEqual(['chat: one'])
  })

  it('that was cut off between two messages is finished by the next under its key', async () => {
    const by = call(agent('a'), 'k')
    const [whole, first, second] = ['one two three four five six seven', 'one two three four', 'five six seven']
    state.refuses = (key) => key.endsWith(':1')
    expect(await code(send(whole, by))).toBe('forbidden')
    state.refuses = () => false
    const ids = await send(whole, by)
    await settled()
    expect(ids).toHaveLength(2)
    expect(sent).toEqual([`chat: ${first}`, `chat: ${second}`])
  })

  it('without a key is a message each time', async () => {
    for (let n = 0; n < 2; n += 1) await send('hello', call(agent('a')))
    await settled()
    expect(sent).toHaveLength(2)
  })
})

describe('a question', () => {
  beforeEach(() => {
    sends = newSends(100)
  })
  const ask = (text: string, by: Principal, key?: string, requestId?: string) =>
    sends.ask(question(text, requestId), call(by, key, 'channel::test::ask'))
  const worker: Principal = { kind: 'system', id: 'clerk' }

  it('about a request is asked once, at once and again', async () => {
    const [first, second] = await Promise.all([ask('May I?', worker), ask('May I?', worker)])
    expect([second, await ask('May I?', worker, 'k')]).toEqual([first, first])
    await settled()
    expect(sent).toEqual(['chief: May I?'])
  })

  it('of another asker about the same request takes nobody else’s place', async () => {
    await ask('Shall I send a greeting?', worker)
    await ask('Delete everything?', { kind: 'system', id: 'approval' })
    await sends.askHere(question('Really: delete everything?'))
    await settled()
    expect(sent).toEqual([
      'chief: Shall I send a greeting?',
      'chief: Delete everything?',
      'chief: Really: delete everything?',
    ])
  })

  it('shows what would hide or turn text round as what it is', async () => {
    await ask('May I pay \u202e001\u202c\u200b?', worker)
    await settled()
    expect(sent).toEqual(['chief: May I pay \\u202e001\\u202c\\u200b?'])
  })

  it('is one message, and says where it is cut', async () => {
    await ask('\u200b'.repeat(90), worker)
    await settled()
    expect(sent[0]!.length).toBeLessThanOrEqual('chief: '.length + 100)
    expect(sent[0]).toMatch(/^chief: \\u200b.*…\n\nThis is not all of the question/s)
  })

  it('with another text, or under a key that stands for another one, is refused', async () => {
    await ask('May I?', worker)
    expect(await code(ask('Will you?', worker))).toBe('key_reused')
    await ask('And this?', worker, 'k', 'other')
    expect(await code(ask('And that?', worker, 'k', 'third'))).toBe('key_reused')
    await settled()
    expect(sent).toEqual(['chief: May I?', 'chief: And this?'])
  })
})
