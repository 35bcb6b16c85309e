import { compute } from '@agentos/arithmetic'
import type { CompletionInput, Message, StreamFrame } from '@agentos/contracts/llm-router'
import { describe, expect, it } from 'vitest'
import { askDemo } from './demo.ts'
import { SIGNATURE } from './rules.ts'

const tool = (
  id: string,
  description = '',
  inputSchema: Record<string, unknown> = { type: 'object', properties: {} },
) => ({
  id,
  description,
  inputSchema,
})
const TOOLS = [
  tool('memory::store', 'Remember a text'),
  tool('memory::search', 'Search memories', {
    type: 'object',
    properties: { query: { type: 'string', description: 'What to look for' }, limit: { type: 'integer' } },
    required: ['query'],
  }),
  tool('agent::find_functions', 'Find functions'),
]

async function ask(content: string, tools = TOOLS, before: Message[] = []) {
  const input: CompletionInput = { messages: [...before, { role: 'user', content }], tools }
  return answer(input)
}

async function answer(input: CompletionInput) {
  const frames: StreamFrame[] = []
  const result = await askDemo(input, async (frame) => void frames.push(frame), new AbortController().signal)
  const text = result.parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
  const calls = result.parts.flatMap((part) =>
    part.type === 'toolCall' ? [{ id: part.id, arguments: part.arguments, problem: part.problem }] : [],
  )
  return { ...result, text, calls, frames }
}

/** What the demo says once its call was answered with this. */
async function answerAfter(question: string, result: unknown, isError = false) {
  const first = await ask(question)
  const callId = first.parts.flatMap((part) => (part.type === 'toolCall' ? [part.callId] : []))[0]!
  const content = typeof result === 'string' ? result : JSON.stringify(result)
  const messages: Message[] = [
    { role: 'user', content: question },
    { role: 'assistant', content: first.parts },
    { role: 'tool', content: [{ type: 'toolResult', callId, content, isError }] },
  ]
  return (await answer({ messages, tools: TOOLS })).text
}

describe('arithmetic', () => {
  it.each([
    ['What is 17 times 23?', '17 × 23', '391'],
    ['17*23', '17 × 23', '391'],
    ['what is seventeen times twenty-three?', '17 × 23', '391'],
    ['2 + 3 * 4', '2 + 3 × 4', '14'],
    ['(2 + 3) * 4', '(2 + 3) × 4', '20'],
    ['Calculate 1,000.5 minus 0.5', '1,000.5 - 0.5', '1000'],
    ['0.1 + 0.2', '0.1 + 0.2', '0.3'],
    ['10 divided by 4', '10 ÷ 4', '2.5'],
    ['1 / 3', '1 ÷ 3', '≈ 0.333333333333'],
    ['-2 ^ 2', '- 2 ^ 2', '-4'],
    ['2 ^ 3 ^ 2', '2 ^ 3 ^ 2', '512'],
    ['2 ^ -2', '2 ^ - 2', '0.25'],
    ['12 squared', '12 ^ 2', '144'],
    ['10 mod 4 + 1', '10 mod 4 + 1', '3'],
    ['20 percent of 50', '20 ÷ 100 × 50', '10'],
    ['two hundred and five plus three', '205 + 3', '208'],
    [
      '99999999999999999999 * 99999999999999999999',
      '99999999999999999999 × 99999999999999999999',
      '9999999999999999999800000000000000000001',
    ],
    ['8 - 3 - 2', '8 - 3 - 2', '3'],
    ['3 x 4', '3 × 4', '12'],
  ])('%s', (question, expression, value) => expect(compute(question)).toEqual({ expression, value }))

  it.each([
    'hello',
    'What is 17?',
    '-5',
    '3 +',
    '(1 + 2',
    '1 2',
    'I have 3 cats and 4 dogs',
    '',
    '2024-01-02T03',
    '* 3 4',
    '1,2,3 + 4,5',
  ])('leaves %s alone', (text) => expect(compute(text)).toBeUndefined())

  it('says why there is no value, and does not compute for ever', () => {
    expect(compute('1 / 0')?.problem).toContain('divided by zero')
    expect(compute('2 ^ 100000')?.problem).toContain('Exponents')
    expect(compute('2 ^ 0.5')?.problem).toContain('whole exponents')
  })
})

describe('the rules demo', () => {
  it('works out arithmetic and says what it is', async () => {
    const { text, stopReason } = await ask('What is 17 times 23?')
    expect(text).toBe(`17 × 23 = 391\n\n${SIGNATURE}`)
    expect(text).toMatch(/demo\/rules.*no model connected$/)
    expect(stopReason).toBe('stop')
  })

  it.each([
    ['What is 17 times 23? Reply with just the number.', '17 × 23 = 391'],
    ['Hi there! I have a small question: what is 17 times 23, please?', '17 × 23 = 391'],
    ['Reply with just the number. What is 1,000 minus 0.5?', '1,000 - 0.5 = 999.5'],
    ['Reply with the number only: 17 * 23', '17 × 23 = 391'],
    ['I am doing my homework.\n17 * 23 = ?\nNo explanation', '17 × 23 = 391'],
    ['17 + 23? Thank you.', '17 + 23 = 40'],
    ['What is 2 + 2? And what is 3 times 3?', '2 + 2 = 4\n3 × 3 = 9'],
    ['Could you tell me what 17 times 23 is? Thanks!', '17 × 23 = 391'],
    ['What is 1 / 0? Be brief.', '1 ÷ 0: nothing can be divided by zero'],
  ])('finds the sum among other sentences: %s', async (question, sum) => {
    expect((await ask(question)).text.toLowerCase()).toContain(sum.toLowerCase())
  })

  it.each([
    'I have 3 cats and 4 dogs. What are they called?',
    'Call me at 555-1234. Thanks.',
    'The meeting is on 2024-01-02, in room 3/4. Who comes?',
    'I need lumber, 2 x 4, and nails.',
    'What is 17? Reply with just the number.',
  ])('finds no sum in: %s', async (text) => {
    expect((await ask(text)).text).toContain('I follow a few fixed rules')
  })

  it('does what it is told before it looks for sums inside', async () => {
    expect((await ask('call memory::search {"query": "What is 2 + 2? Hm."}')).calls).toEqual([
      { id: 'memory::search', arguments: { query: 'What is 2 + 2? Hm.' } },
    ])
    expect((await ask('Remember that I ask: what is 2 + 2?')).calls).toMatchObject([{ id: 'memory::store' }])
  })

  it('streams word by word what it answers', async () => {
    const { frames, text } = await ask('hello there')
    expect(frames.length).toBeGreaterThan(20)
    expect(frames.map((frame) => (frame.type === 'text' ? frame.text : '')).join('')).toBe(text)
    expect(text).toContain('ANTHROPIC_API_KEY')
    expect(text.endsWith(SIGNATURE)).toBe(true)
  })

  it('remembers by calling memory::store', async () => {
    const { calls, text, stopReason, frames } = await ask('remember that my dog is called Rex')
    expect(calls).toEqual([{ id: 'memory::store', arguments: { content: 'my dog is called Rex' } }])
    expect({ text, stopReason }).toEqual({ text: '', stopReason: 'tool_calls' })
    expect(frames).toMatchObject([{ type: 'toolCall', id: 'memory::store' }])
    expect(await answerAfter('remember that my dog is called Rex', { id: 'm', stored: true })).toBe(
      `I will remember: my dog is called Rex\n\n${SIGNATURE}`,
    )
  })

  it('says that it will remember only what was stored', async () => {
    const after = (result: unknown) => answerAfter('remember that my dog is called Rex', result)
    expect(await after({ id: 'm', deduplicated: true })).toBe(
      `I knew that already: my dog is called Rex\n\n${SIGNATURE}`,
    )
    const redacted = await after({ id: 'm', stored: true, redacted: true })
    expect(redacted).not.toContain('my dog is called Rex')
    expect(redacted).toContain('without what looks like a key or a password')
    for (const odd of [{}, [], 'none of it', null]) {
      expect(await after(odd)).not.toContain('will remember')
    }
  })

  it('finds what it remembered', async () => {
    const question = 'What do you know about my dog?'
    expect((await ask(question)).calls).toEqual([{ id: 'memory::search', arguments: { query: 'my dog' } }])
    const text = await answerAfter(question, [
      { content: 'my dog is called Rex' },
      { content: 'what do you know about my dog?' },
    ])
    expect(text).toBe(`This is what I know about my dog:\n- my dog is called Rex\n\n${SIGNATURE}`)
    expect(await answerAfter(question, [])).toContain('I know nothing about my dog.')
  })

  it('falls back to memory::recall, and says when it may use neither', async () => {
    expect((await ask('what do you know about x', [tool('memory::recall')])).calls[0]?.id).toBe('memory::recall')
    const { text, calls } = await ask('remember that x', [])
    expect(calls).toEqual([])
    expect(text).toContain('memory::store')
    expect(text.endsWith(SIGNATURE)).toBe(true)
  })

  it.each(['1e400', '12345678901234567890'])('keeps the number %s as it was written', async (number) => {
    const { parts } = await ask(`call ledger::transfer {"amount": ${number}}`)
    expect(parts).toMatchObject([{ argumentsText: `{"amount":${number}}` }])
  })

  it('calls the function that the user names, offered or not', async () => {
    const { calls } = await ask('call realm::list {"limit": 3}')
    expect(calls).toEqual([{ id: 'realm::list', arguments: { limit: 3 } }])
    expect((await ask('Please run realm::list')).calls).toEqual([{ id: 'realm::list', arguments: {} }])
    expect((await ask('call realm::list {"limit": ')).text).toContain('not a JSON object')
    expect(await answerAfter('call realm::list {}', { realms: [] })).toContain(
      'realm::list answered:\n{\n  "realms": []\n}',
    )
    expect(await answerAfter('call realm::list {}', 'forbidden', true)).toContain('realm::list failed: forbidden')
  })

  it('lists, describes and finds functions', async () => {
    const list = (await ask('Which functions can you use?')).text
    for (const { id } of TOOLS) expect(list).toContain(id)
    const described = (await ask('describe memory::search')).text
    expect(described).toContain('- query (string, required): What to look for')
    expect((await ask('find functions for sending mail')).calls).toEqual([
      { id: 'agent::find_functions', arguments: { query: 'sending mail' } },
    ])
    const found = await answerAfter('list functions about realms', {
      functions: [{ id: 'realm::list', description: 'List realms' }],
    })
    expect(found).toContain('- realm::list: List realms')
  })

  it('answers the same to the same, and refuses what a model would refuse', async () => {
    expect((await ask('hi')).text).toBe((await ask('hi')).text)
    await expect(answer({ messages: [] })).rejects.toThrow('nothing for the model to answer')
  })

  it('stops when the call is cancelled', async () => {
    const input = { messages: [{ role: 'user' as const, content: 'hi' }] }
    await expect(askDemo(input, async () => {}, AbortSignal.abort())).rejects.toThrow()
  })
})
