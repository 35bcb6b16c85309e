import type { Message, Part, ToolResultPart } from '@agentos/contracts/llm-router'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connectTo, FORMATS, type SimulatedProvider } from './simulated-provider.fixture.ts'

const TOOLS = ['weather::now', 'memory::search'].map((id) => ({ id, description: '', inputSchema: { type: 'object' } }))

const BLANK = ['', ' ', '\n\n', '\t \n']
/** Each is told from all others, so that their order can be seen. */
let words = 0
const word = fc.constant(0).map(() => `word-${++words}-`)
const text = fc.oneof(
  { weight: 3, arbitrary: word },
  { weight: 2, arbitrary: fc.constantFrom(...BLANK) },
  { weight: 1, arbitrary: word.map((said) => `${said} \n`) },
)
const textPart = text.map((said): Part => ({ type: 'text', text: said }))
const userContent = fc.oneof(text, fc.array(textPart, { maxLength: 3 }))
const system = fc
  .oneof(text, fc.array(textPart, { maxLength: 2 }))
  .map((content): Message => ({ role: 'system', content }))
const user = userContent.map((content): Message => ({ role: 'user', content }))

const reasoning = fc
  .constantFrom<Partial<Part & { type: 'reasoning' }>>(
    { origin: 'anthropic', signature: 'sig:a' },
    { origin: 'anthropic', signature: 'data', redacted: true },
    { origin: 'openai-responses', signature: JSON.stringify(['rs_1', 'enc:x']) },
    { origin: 'elsewhere', signature: 'x' },
    {},
  )
  .chain((more) => text.map((said): Part => ({ type: 'reasoning', text: said, ...more })))

const call = fc
  .record({
    callId: fc.constantFrom('c1', 'c2', 'a call id with blanks'),
    id: fc.constantFrom('weather::now', 'old::tool'),
  })
  .chain((fields) => word.map((city): Part => ({ type: 'toolCall', ...fields, arguments: { city } })))

const resultContent = fc.oneof(
  text,
  fc.array(
    text.map((said) => ({ type: 'text' as const, text: said })),
    { maxLength: 2 },
  ),
)

/** What an assistant said and called, with the results in one message or in one each, in order or not. */
const assistant = fc
  .tuple(
    fc.array(fc.oneof(textPart, reasoning, call), { maxLength: 5 }),
    fc.infiniteStream(resultContent),
    fc.boolean(),
    fc.boolean(),
  )
  .map(([parts, contents, isApart, isReversed]): Message[] => {
    const calls = parts.flatMap((part) => (part.type === 'toolCall' ? [part] : []))
    const results = calls.map(({ callId }, at): ToolResultPart => {
      return { type: 'toolResult', callId, content: contents.next().value!, isError: at % 2 === 1 }
    })
    // Results of one id stand in the order of their calls.
    const ids = new Set(calls.map(({ callId }) => callId))
    if (isReversed && ids.size === calls.length) results.reverse()
    const messages = isApart ? results.map((result) => [result]) : results.length > 0 ? [results] : []
    return [{ role: 'assistant', content: parts }, ...messages.map((content): Message => ({ role: 'tool', content }))]
  })

/** Begins and ends anywhere, as a history that was cut does; something in it is there to be answered. */
const history = fc
  .array(
    fc.oneof(
      user.map((message) => [message]),
      assistant,
      system.map((message) => [message]),
    ),
    { minLength: 1, maxLength: 8 },
  )
  .chain((rounds) => word.map((said): Message[] => [...rounds.flat(), { role: 'user', content: said }]))
  .chain((messages) => fc.boolean().map((isEnded) => (isEnded ? messages : endedByAssistant(messages))))

function endedByAssistant(messages: Message[]): Message[] {
  return [...messages, { role: 'assistant', content: `as I said ${'\n'}` }]
}

/** Words of the texts that a user or an assistant said, and of what was called, in order. */
function said(messages: readonly Message[]): string[] {
  const talk = messages.filter(({ role }) => role === 'user' || role === 'assistant')
  return talk.flatMap(({ content }) => {
    const parts: readonly Part[] = typeof content === 'string' ? [{ type: 'text', text: content }] : content
    return parts.flatMap((part) => {
      const from = part.type === 'text' ? part.text : part.type === 'toolCall' ? String(part.arguments.city) : ''
      return from.match(/word-\d+-/g) ?? []
    })
  })
}

const count = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0

describe.each(FORMATS)('a history for $format', (simulated) => {
  let provider: SimulatedProvider
  beforeAll(async () => {
    provider = await connectTo(simulated, { text: 'fine' })
  })
  afterAll(() => provider.close())

  const send = async (messages: Message[], more: object = {}) => {
    provider.simulator.play({ text: 'fine' })
    await provider.ask({ messages, tools: TOOLS, ...more })
    expect(provider.simulator.refused).toEqual([])
    return provider.simulator.requests[0]!.bodyText
  }

  it('is one that the API takes, with all that was said and every result, whatever it was before', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (messages) => {
        const body = await send(messages)
        const places = said(messages).map((spoken) => body.indexOf(spoken))
        expect(places.every((at) => at >= 0)).toBe(true)
        if (simulated.format !== 'openai-chat') expect(places).toEqual([...places].sort((a, b) => a - b))
        const calls = messages.flatMap(({ content }) =>
          typeof content === 'string' ? [] : content.filter(({ type }) => type === 'toolCall'),
        ).length
        const results = /"tool_call_id"|"type":"tool_result"|"functionResponse"|"function_call_output"/g
        expect(count(body, results)).toBe(calls)
      }),
      { numRuns: 150 },
    )
  })

  it.each<[string, Message[]]>([
    [
      'an assistant is first, as after a compaction',
      [
        { role: 'assistant', content: 'So far: nothing.' },
        { role: 'user', content: 'hi' },
      ],
    ],
    [
      'a system message stands in the middle',
      [
        { role: 'user', content: 'a' },
        { role: 'system', content: 'b' },
        { role: 'user', content: 'c' },
      ],
    ],
    [
      'texts are blank',
      [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: ' \n' },
        {
          role: 'user',
          content: [
            { type: 'text', text: '\t' },
            { type: 'text', text: 'b' },
          ],
        },
      ],
    ],
    [
      'what is to be answered is blank',
      [
        { role: 'user', content: 'a' },
        { role: 'assistant', content: 'b' },
        { role: 'user', content: ' ' },
      ],
    ],
    [
      'the system prompt is blank',
      [
        { role: 'system', content: ' ' },
        { role: 'user', content: 'a' },
      ],
    ],
    [
      'an answer holds thoughts alone',
      [
        { role: 'user', content: 'a' },
        {
          role: 'assistant',
          content: [{ type: 'reasoning', text: 'hm', origin: simulated.format, signature: 'sig:1' }],
        },
        { role: 'user', content: 'b' },
      ],
    ],
    ['letters were cut in half', [{ role: 'user', content: `a ${'\u{1F642}'.slice(0, 1)}` }]],
  ])('is mended where %s', async (_, messages) => {
    await send(messages)
  })

  it('keeps the results of parallel calls with their calls, in whatever order they came', async () => {
    const calls = ['Köln', 'Oslo'].map(
      (city): Part => ({ type: 'toolCall', callId: city, id: 'weather::now', arguments: { city } }),
    )
    const results = ['Oslo', 'Köln'].map(
      (callId): Part => ({ type: 'toolResult', callId, content: `rain in ${callId}` }),
    )
    const body = await send([
      { role: 'user', content: 'Weather?' },
      { role: 'assistant', content: calls },
      { role: 'tool', content: results },
    ])
    expect(body.indexOf('rain in Köln')).toBeLessThan(body.indexOf('rain in Oslo'))
  })
})

it('does not ask Anthropic to think in the middle of calls that it did not think about', async () => {
  const anthropic = FORMATS.find(({ format }) => format === 'anthropic')!
  const provider = await connectTo(
    { ...anthropic, model: 'claude-sonnet-4-5-20250929' },
    { text: 'fine' },
    {},
    { thinking: 'budget' },
  )
  const called: Message[] = [
    { role: 'user', content: 'Weather?' },
    { role: 'assistant', content: [{ type: 'toolCall', callId: 'c1', id: 'weather::now', arguments: {} }] },
    { role: 'tool', content: [{ type: 'toolResult', callId: 'c1', content: 'rain' }] },
  ]
  const asked = { tools: TOOLS, reasoning: 'low' as const }
  await provider.ask({ ...asked, messages: called })
  await provider.ask({
    ...asked,
    messages: [...called, { role: 'assistant', content: 'Rain.' }, { role: 'user', content: 'And now?' }],
  })
  expect(provider.simulator.refused).toEqual([])
  expect(provider.simulator.requests.map(({ body }) => (body.thinking as { type: string } | undefined)?.type)).toEqual([
    undefined,
    'enabled',
  ])
  await provider.close()
})
