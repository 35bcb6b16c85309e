import { beforeEach, describe, expect, it } from 'vitest'
import { MemoryState } from './memory-state.fixture.ts'
import { Outbox } from './outbox.ts'
import { Pacer } from './pacer.ts'
import { Reply } from './reply.ts'
import { plain } from './rich-text.ts'

const UNSEEN = /[\p{Cc}\p{Cf}]/u
const NASTY = 'pay \u202eeve\u2066 **b\u200bob** [here](https://a.example/\u202ex) \u009b2K\u001b[2K'
const SHOWN = 'pay \\u202eeve\\u2066 b\\u200bob here \\u009b2K\\u001b[2K'
const WHOLE = '👩‍👩‍👧‍👦 ❤️ می‌خواهم שלום Grüße'

let outbox: Outbox
/** What the service was asked to show, in order. */
let shown: string[]

beforeEach(async () => {
  shown = []
  const show = (text: string) => shown.push(text)
  outbox = new Outbox({
    state: new MemoryState(),
    scope: 'outbox',
    transport: {
      send: async (_conversation, { rich }) => String(show(rich.text)),
      edit: async (_conversation, _id, { rich }) => void show(rich.text),
    },
    pacer: new Pacer({ intervalMs: () => 0, overall: { count: 1_000, perMs: 1 } }),
    log: { warn: () => {} },
  })
  await outbox.open()
})

const reply = (limit = 4_096, everyMs?: number) =>
  new Reply(outbox, { id: 'e', conversation: 'chat' }, { limit, everyMs })
const settled = () => expect.poll(async () => (await outbox.list()).length, { timeout: 30_000 }).toBe(0)

describe('an answer in a chat', () => {
  it('shows what would hide or turn text round as what it is, and leaves the rest', async () => {
    await reply().finish({ markdown: `${NASTY} ${WHOLE}` })
    await settled()
    expect(shown).toEqual([`${SHOWN} ${WHOLE}`])
    const [span] = (await outbox.get('e:0'))!.content.rich.spans.filter(({ style }) => style === 'link')
    expect(span!.url).not.toMatch(UNSEEN)
  })

  it('is of messages that are within their limit after that, too', async () => {
    await reply(100).finish({ markdown: '\u202e'.repeat(200) })
    await settled()
    expect(shown.join('')).toBe('\\u202e'.repeat(200))
    for (const text of shown) expect(text.length).toBeLessThanOrEqual(100)
  })

  it('is cut between emoji, not within one that is joined from several', async () => {
    const family = '👩‍👩‍👧‍👦'
    await reply(40).finish({ markdown: family.repeat(12) })
    await settled()
    expect(shown.length).toBeGreaterThan(1)
    for (const text of shown) expect(text).toMatch(new RegExp(`^(${family})+$`, 'u'))
  })

  it('shows no joiner as its escape while its other half is still to come', async () => {
    const coming = reply(4_096, 0)
    for (const unit of WHOLE.split('')) {
      coming.add(unit)
      await settled()
    }
    await coming.finish({ markdown: WHOLE })
    await settled()
    expect(shown.at(-1)).toBe(WHOLE)
    expect(shown.filter((text) => text.includes('\\u'))).toEqual([])
  })
})

it('words that repeat what somebody wrote show it as what it is', () => {
  expect(plain(`There is no agent ${NASTY}`).text).not.toMatch(UNSEEN)
})
