import { describe, expect, it } from 'vitest'
import { MemoryState } from './memory-state.fixture.ts'
import { Outbox } from './outbox.ts'
import type { Content } from './outbox-entry.ts'
import { Pacer } from './pacer.ts'
import { plain } from './rich-text.ts'
import { MovedError, SendError, type Transport } from './transport.ts'

const text = (words: string): Content => ({ rich: plain(words) })

/** A service: messages by id; the next sends end as `plan` says. */
class Service implements Transport {
  readonly messages = new Map<string, string>()
  readonly plan: (() => void)[] = []
  hold: Promise<void> | undefined

  async send(_conversation: string, content: Content): Promise<string> {
    await this.hold
    this.plan.shift()?.()
    const id = String(this.messages.size + 1)
    this.messages.set(id, content.rich.text)
    return id
  }

  async edit(_conversation: string, messageId: string, content: Content): Promise<void> {
    this.plan.shift()?.()
    this.messages.set(messageId, content.rich.text)
  }
}

function fails(outcome: 'not_sent' | 'refused' | 'unknown', retryAfterMs?: number): () => void {
  return () => {
    throw new SendError(outcome, `a failure: ${outcome}`, retryAfterMs)
  }
}

async function open(state: MemoryState, transport: Transport): Promise<Outbox> {
  const pacer = new Pacer({ intervalMs: () => 0, overall: { count: 100, perMs: 1 } })
  const outbox = new Outbox({ state, scope: 'outbox', transport, pacer, log: { warn: () => {} } })
  await outbox.open()
  return outbox
}

const sent = (service: Service) => [...service.messages.values()]
const stateOf = async (outbox: Outbox, id: string) => (await outbox.get(id))?.state

describe('an outbox', () => {
  it('sends in order, each message once, however often it is put there', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    for (const id of ['a', 'b', 'a', 'c', 'b']) await outbox.put(id, 'chat', text(id))
    await expect.poll(() => sent(service)).toEqual(['a', 'b', 'c'])
    await expect.poll(() => stateOf(outbox, 'c')).toBe('sent')
    await (await open(state, service)).put('a', 'chat', text('a'))
    expect(sent(service)).toEqual(['a', 'b', 'c'])
  })

  it('sends a new message once that is put there twice at once, by two processes too', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const [outbox, other] = [await open(state, service), await open(state, service)]
    await Promise.all([outbox.put('a', 'chat', text('a')), outbox.put('a', 'chat', text('a'))])
    await Promise.all([outbox.put('b', 'chat', text('b')), other.put('b', 'chat', text('b'))])
    await outbox.put('end', 'chat', text('end'))
    await other.put('end too', 'chat', text('end too'))
    await expect.poll(() => sent(service)).toEqual(expect.arrayContaining(['end', 'end too']))
    expect(sent(service).filter((words) => words === 'a')).toHaveLength(1)
    expect(sent(service).filter((words) => words === 'b')).toHaveLength(1)
  })

  it('shows the later of two contents that are put there at once, in one message', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    await Promise.all([outbox.put('a', 'chat', text('one')), outbox.put('a', 'chat', text('two'))])
    await expect.poll(() => sent(service)).toEqual(['two'])
    await expect.poll(() => stateOf(outbox, 'a')).toBe('sent')
    expect(sent(service)).toEqual(['two'])
  })

  it('leaves a message as it is that may be put there only once', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    const put = (words: string) => outbox.put('a', 'chat', text(words), { once: true })
    await Promise.all([put('one'), put('two')])
    await put('three')
    await expect.poll(() => stateOf(outbox, 'a')).toBe('sent')
    expect(sent(service)).toEqual(['one'])
  })

  it('knows its own new message where the answer to its write was lost', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    state.lostAnswers = 1
    await outbox.put('a', 'chat', text('a'))
    await expect.poll(() => sent(service)).toEqual(['a'])
  })

  it('edits what it has sent when the content changes, and sends the newest where it had not', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    const { promise, resolve } = Promise.withResolvers<void>()
    service.hold = promise
    await outbox.put('a', 'chat', text('half'), { final: false })
    await outbox.put('b', 'chat', text('old'))
    await outbox.put('b', 'chat', text('new'))
    await outbox.put('a', 'chat', text('whole'))
    resolve()
    await expect.poll(() => sent(service)).toEqual(['whole', 'new'])
  })

  it('tries again what was certainly not sent, when the service wants it, and holds up what comes after', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    service.plan.push(fails('not_sent', 30), fails('not_sent', 0))
    await outbox.put('a', 'chat', text('a'))
    await outbox.put('b', 'chat', text('b'))
    await expect.poll(() => sent(service)).toEqual(['a', 'b'])
  })

  it('sends a whole answer anew whose last part could not be shown, though that part was all of it', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    await outbox.put('a', 'chat', text('half'), { final: false })
    await expect.poll(() => sent(service)).toEqual(['half'])
    service.plan.push(fails('refused'))
    await outbox.put('a', 'chat', text('whole'), { final: false })
    await expect.poll(() => service.plan).toEqual([])
    service.plan.push(fails('refused'))
    await outbox.put('a', 'chat', text('whole'))
    await expect.poll(() => sent(service)).toEqual(['half', 'whole'])
    expect(await outbox.list()).toEqual([])
  })

  it('gives up what is refused, and goes on with the next', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    service.plan.push(fails('refused'))
    await outbox.put('a', 'chat', text('a'))
    await outbox.put('b', 'chat', text('b'))
    await expect.poll(() => sent(service)).toEqual(['b'])
    expect(await outbox.list()).toMatchObject([{ id: 'a', state: 'failed', reason: 'a failure: refused' }])
  })

  it('follows a conversation that has become another one, in order and with what it had sent', async () => {
    const state = new MemoryState()
    const moves: string[] = []
    const shown: string[] = []
    const show = async (conversation: string, { rich, replyTo }: Content) => {
      if (conversation === 'group' && moved) throw new MovedError('supergroup', 'the group was upgraded')
      shown.push(`${conversation}: ${rich.text}${replyTo === undefined ? '' : ` (to ${replyTo})`}`)
      return String(shown.length)
    }
    const transport: Transport = {
      send: show,
      edit: async (conversation, id, content) =>
        void (await show(`${conversation}/${id}`.replace('group/1', 'group'), content)),
    }
    let moved = false
    const pacer = new Pacer({ intervalMs: () => 0, overall: { count: 100, perMs: 1 } })
    const onMoved = async (from: string, to: string) => void moves.push(`${from} → ${to}`)
    const outbox = new Outbox({ state, scope: 'outbox', transport, pacer, log: { warn: () => {} }, onMoved })
    await outbox.open()
    await outbox.put('a', 'group', { ...text('half of a'), replyTo: '7' }, { final: false })
    await expect.poll(() => shown).toEqual(['group: half of a (to 7)'])
    moved = true
    await Promise.all([
      outbox.put('a', 'group', { ...text('a'), replyTo: '7' }),
      outbox.put('b', 'group', { ...text('b'), replyTo: '8' }),
      outbox.put('c', 'group', text('c')),
    ])
    await expect.poll(() => shown.slice(1)).toEqual(['supergroup: a', 'supergroup: b', 'supergroup: c'])
    await outbox.put('b', 'group', { ...text('b, changed'), replyTo: '8' })
    await expect.poll(() => shown.at(-1)).toBe('supergroup/3: b, changed')
    expect(new Set(moves)).toEqual(new Set(['group → supergroup']))
    expect((await outbox.get('c'))?.conversation).toBe('supergroup')
    expect(await outbox.list()).toEqual([])
  })

  it('never repeats by itself what may have been sent, asks, and does what it is told', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    service.plan.push(fails('unknown'))
    await outbox.put('a', 'chat', text('a'))
    await expect.poll(() => sent(service)).toHaveLength(1)
    expect(sent(service)[0]).toContain('Did it arrive?')
    await outbox.put('a', 'chat', text('a'))
    const later = await open(state, service)
    expect(await stateOf(later, 'a')).toBe('in_doubt')
    await later.resolve('a', 'resend')
    await expect.poll(() => sent(service).at(-1)).toBe('a')
    await expect.poll(() => stateOf(later, 'a')).toBe('sent')
    await expect(later.resolve('a', 'resend')).rejects.toMatchObject({ code: 'conflict' })
    await expect(later.resolve('nothing', 'resend')).rejects.toMatchObject({ code: 'not_found' })
  })

  it('finds after a crash what was on its way in doubt, and sends what waited', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const first = await open(state, service)
    service.hold = new Promise(() => {})
    await first.put('a', 'chat', text('a'))
    await first.put('b', 'chat', text('b'))
    await expect.poll(() => (state.valuesOf('outbox').get('a') as { state: string }).state).toBe('sending')
    const next = new Service()
    const second = await open(state, next)
    expect(await stateOf(second, 'a')).toBe('in_doubt')
    await expect.poll(() => sent(next)).toEqual(['b', expect.stringContaining('Did it arrive?')])
    // Again, with the question about it among what is read: it is asked once.
    await expect.poll(async () => (await second.list()).length).toBe(1)
    const third = new Service()
    await open(state, third)
    expect(sent(third)).toEqual([])
  })

  it('writes down what it does through a restart of the engine', async () => {
    const [state, service] = [new MemoryState(), new Service()]
    const outbox = await open(state, service)
    state.failures = 3
    await outbox.put('a', 'chat', text('a'))
    await expect.poll(() => (state.valuesOf('outbox').get('a') as { state: string } | undefined)?.state).toBe('sent')
    expect(sent(service)).toEqual(['a'])
  })
})
