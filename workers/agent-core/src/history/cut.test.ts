import type { Message, Part } from '@agentos/contracts/message'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fitted } from './cut.ts'
import { tokensOf } from './token-estimate.ts'

const user = (content: string): Message => ({ role: 'user', content })
const says = (content: string): Message => ({ role: 'assistant', content })
const round = (name: string, size = 10, results = 1): Message[] => {
  const ids = Array.from({ length: results }, (_, n) => `${name}.${n}`)
  return [
    {
      role: 'assistant',
      content: ids.map((callId) => ({ type: 'toolCall', callId, id: 'memory::search', arguments: { query: callId } })),
    },
    {
      role: 'tool',
      content: ids.map((callId) => ({ type: 'toolResult', callId, content: `${callId} ${'x'.repeat(size)}` })),
    },
  ]
}
const turn = (name: string, size = 10, rounds = 0): Message[] => [
  user(`question ${name} ${'q'.repeat(size)}`),
  ...Array.from({ length: rounds }, (_, n) => round(`${name}-${n}`, size)).flat(),
  says(`answer ${name} ${'a'.repeat(size)}`),
]
const partsOf = ({ content }: Message): readonly Part[] => (typeof content === 'string' ? [] : content)
const told = (messages: readonly Message[]) => JSON.stringify(messages)

/** Every call is followed by all of its results, and no result stands without its call. */
function isPaired(messages: readonly Message[]): boolean {
  let open: string[] = []
  for (const message of messages) {
    const results = partsOf(message).flatMap((part) => (part.type === 'toolResult' ? [part.callId] : []))
    if (message.role === 'tool' ? results.some((id) => !open.includes(id)) : open.length > 0) return false
    open = open.filter((id) => !results.includes(id))
    open.push(...partsOf(message).flatMap((part) => (part.type === 'toolCall' ? [part.callId] : [])))
  }
  return open.length === 0
}

describe('a conversation that is cut', () => {
  it('stays as it is where it fits', () => {
    const messages = [...turn('one', 10, 2), ...turn('two')]
    expect(fitted(messages, 10_000)).toEqual(messages)
    expect(fitted([], 10)).toEqual([])
  })

  it('keeps the last question and its answer of a turn with many rounds, with the last of them and what was before', () => {
    const cut = fitted([...turn('before'), ...turn('long', 300, 30)], 2_000)
    expect(cut.map(({ role }) => role).slice(0, 3)).toEqual(['user', 'assistant', 'user'])
    expect(told(cut)).toContain('long-29.0')
    expect(told(cut.slice(2, 3))).toMatch(/question long.*\[AgentOS: \d+ function calls that followed are left out/)
    expect(cut.at(-1)).toMatchObject({ role: 'assistant', content: expect.stringContaining('answer long') })
    expect(tokensOf(...cut)).toBeLessThanOrEqual(2_000)
  })

  it('says how much is left out, and what it was about', () => {
    const messages = Array.from({ length: 50 }, (_, n) => turn(`${n}`, 200)).flat()
    const cut = fitted(messages, 1_500, { earlier: 7 })
    const gone = 100 - cut.length
    expect(told(cut.slice(0, 1))).toContain(
      `[AgentOS: ${gone + 7} earlier messages of this conversation are left out here`,
    )
    expect(told(cut.slice(0, 1))).toContain(`question ${gone / 2 - 1} `)
    const again = fitted(cut, 700)
    expect(told(again.slice(0, 1))).toContain(`[AgentOS: ${100 - again.length + 7} earlier messages`)
  })

  it('says so where it begins after a compaction without a question', () => {
    const cut = fitted([...round('a', 3_000), ...round('b', 3_000), says('the answer')], 1_200, { earlier: 0 })
    expect(cut[0]!.role).toBe('user')
    expect(cut.at(-1)).toEqual(says('the answer'))
  })

  it('shortens what alone is too long, but not the question that is asked', () => {
    const long = 'word '.repeat(20_000)
    const history = fitted([user(`begin ${long} end`), says(`yes ${long} no`)], 1_000)
    expect(told(history)).toMatch(/begin word.*a part of this is left out here.*word +end/)
    expect(tokensOf(...history)).toBeLessThan(1_000)
    const asked = user(long)
    expect(fitted([...history, asked], 1_000, { running: true }).at(-1)).toEqual(asked)
  })

  it('keeps the last round of the turn under way, its results shortened, and the turn before', () => {
    const running = [...turn('before', 50), user('now'), ...round('old', 9_000), ...round('new', 9_000, 2)]
    const cut = fitted(running, 1_000, { running: true })
    expect(cut.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant', 'tool'])
    expect(told(cut)).toContain('1 function call that followed is left out')
    expect(told(cut)).toContain('answer before')
    expect(partsOf(cut.at(-1)!)).toMatchObject([
      { callId: 'new.0', content: expect.stringContaining('a part of this is left out here') },
      { callId: 'new.1', content: expect.stringContaining('a part of this is left out here') },
    ])
    expect(tokensOf(...cut)).toBeLessThan(1_000)
  })

  it.each<[string, Record<string, unknown>]>([
    ['one text', { path: 'a.txt', content: 'begin '.repeat(80_000) }],
    ['many values', { numbers: Array.from({ length: 80_000 }, (_, n) => n) }],
  ])('shortens the arguments of a call under way, with a mark: %s', (_, args) => {
    const [asked, answered] = round('big')
    const call = { type: 'toolCall', callId: 'big.0', id: 'file::write', arguments: args } as const
    const messages = [
      user('now'),
      { ...asked!, content: [{ ...call, argumentsText: JSON.stringify(args) }] },
      answered!,
    ]
    const cut = fitted(messages, 2_000, { running: true })
    expect(isPaired(cut)).toBe(true)
    expect(partsOf(cut[1]!)).toMatchObject([{ type: 'toolCall', callId: 'big.0', id: 'file::write' }])
    expect(told(cut)).toContain('a part of this is left out here')
    expect(told(cut)).toContain('big.0 xxx')
    expect(tokensOf(...cut)).toBeLessThan(2_000)
    if ('path' in args) expect(partsOf(cut[1]!)).toMatchObject([{ arguments: { path: 'a.txt' } }])
  })

  it('has the last answered turn where later questions had no answer', () => {
    const failed = Array.from({ length: 20 }, (_, n) => user(`again ${n} ${'z'.repeat(3_000)}`))
    const cut = fitted([...turn('good'), ...failed], 2_000)
    expect(told(cut)).toContain('answer good')
    expect(told(cut)).toContain('again 19')
  })

  it('never parts a call from its results, keeps the last answer and the room, whatever it holds', () => {
    const size = fc.integer({ min: 0, max: 3_000 })
    const aTurn = fc.record({
      size,
      rounds: fc.array(fc.tuple(size, fc.integer({ min: 1, max: 4 })), { maxLength: 6 }),
    })
    fc.assert(
      fc.property(
        fc.array(aTurn, { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 2_000, max: 20_000 }),
        fc.boolean(),
        (turns, room, running) => {
          const messages = turns.flatMap(({ size: length, rounds }, n) => [
            user(`question ${n} ${'q'.repeat(length)}`),
            ...rounds.flatMap(([long, results], m) => round(`${n}-${m}`, long, results)),
            ...(running && n === turns.length - 1 ? [] : [says(`answer ${n} ${'a'.repeat(length)}`)]),
          ])
          const cut = fitted(messages, room, { running })
          const answered = running ? turns.length - 2 : turns.length - 1
          expect(isPaired(cut)).toBe(true)
          expect(cut[0]!.role).toBe('user')
          expect(told(cut)).toContain(`question ${turns.length - 1} `)
          if (answered >= 0) expect(told(cut)).toContain(`answer ${answered} `)
          // Calls of the last round stay as they are, and the notes are told on top.
          expect(tokensOf(...cut)).toBeLessThanOrEqual(room + 600)
        },
      ),
    )
  })
})
