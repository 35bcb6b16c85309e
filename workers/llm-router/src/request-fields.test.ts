import { type CompletionInput, complete, type Message } from '@agentos/contracts/llm-router'
import { AgentError } from '@agentos/sdk'
import {
  type Simulator,
  startAnthropicSimulator,
  startGeminiSimulator,
  startOpenAiResponsesSimulator,
  startOpenAiSimulator,
} from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ModelFacts, Provider } from './catalogue.ts'
import { askProvider } from './provider-client.ts'
import { type FormatName, Settings } from './settings.ts'
import { Transport } from './transport.ts'

/** What leaves for a provider: fields of the body; or the field that it has no words for. */
type Sent = Record<string, unknown> | { refused: string }
/** Each format with a model whose provider counts as able to think and to take a temperature. */
const FORMATS = {
  'openai-chat': { start: startOpenAiSimulator, model: 'test-model' },
  'openai-responses': { start: startOpenAiResponsesSimulator, model: 'test-model' },
  anthropic: { start: startAnthropicSimulator, model: 'claude-opus-4-6' },
  gemini: { start: startGeminiSimulator, model: 'gemini-2.5-flash' },
} as const satisfies Record<FormatName, unknown>
const NAMES = Object.keys(FORMATS) as FormatName[]

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const PDF = Buffer.from('%PDF-1.7').toString('base64')
const NOTE = Buffer.from('Grüße').toString('base64')
const TOOL = { id: 'look', description: 'Looks', inputSchema: { type: 'object', properties: {} } }
const SCHEMA = { type: 'object', properties: {}, additionalProperties: false }
const says = (...content: Exclude<Message['content'], string>): Message[] => [{ role: 'user', content }]
const image = (detail?: 'auto' | 'low' | 'high' | 'original') => ({
  type: 'image' as const,
  mediaType: 'image/png',
  data: PIXEL,
  ...(detail ? { detail } : {}),
})
const file = (mediaType: string, data: string, name?: string) => ({
  type: 'file' as const,
  mediaType,
  data,
  ...(name ? { name } : {}),
})

/** What says who asks, what is asked and whom, in whichever format; `system` is part of every format's conversation. */
const NOT_SENT = new Set('system systemPrompt max_tokens provider model agentId sessionId metadata stream'.split(' '))

interface Row {
  what: string
  input: Partial<CompletionInput>
  sent: Partial<Record<FormatName, Sent>>
  facts?: Partial<ModelFacts>
  models?: Partial<Record<FormatName, string>>
}

const same = (sent: Sent): Record<FormatName, Sent> => ({
  'openai-chat': sent,
  'openai-responses': sent,
  anthropic: sent,
  gemini: sent,
})
const effort = (level: string, anthropic: Sent, gemini: Sent): Row => ({
  what: `reasoning ${level}`,
  input: { reasoning: level as 'low' },
  models: { 'openai-responses': 'gpt-5.4' },
  sent: {
    'openai-chat': { reasoning_effort: level },
    'openai-responses': { reasoning: { effort: level } },
    anthropic,
    gemini,
  },
})
const thinks = (config: object): Sent => ({ generationConfig: { thinkingConfig: config } })
const GEMINI_LEVELS = { models: { gemini: 'gemini-3.1-pro-preview', 'openai-responses': 'gpt-5.4' } } as const

const ROWS: Row[] = [
  {
    what: 'a seed',
    input: { seed: 7 },
    sent: {
      'openai-chat': { seed: 7 },
      'openai-responses': { refused: 'seed' },
      anthropic: { refused: 'seed' },
      gemini: { generationConfig: { seed: 7 } },
    },
  },
  {
    what: 'a frequency penalty',
    input: { frequencyPenalty: 0.5 },
    sent: {
      'openai-chat': { frequency_penalty: 0.5 },
      'openai-responses': { refused: 'frequencyPenalty' },
      anthropic: { refused: 'frequencyPenalty' },
      gemini: { generationConfig: { frequencyPenalty: 0.5 } },
    },
  },
  {
    what: 'a presence penalty',
    input: { presencePenalty: -1 },
    sent: {
      'openai-chat': { presence_penalty: -1 },
      'openai-responses': { refused: 'presencePenalty' },
      anthropic: { refused: 'presencePenalty' },
      gemini: { generationConfig: { presencePenalty: -1 } },
    },
  },
  {
    what: 'penalties and a temperature that change nothing',
    input: { frequencyPenalty: 0, presencePenalty: 0, parallelToolCalls: true, temperature: 1, verbosity: 'medium' },
    sent: same({}),
  },
  {
    what: 'verbosity',
    input: { verbosity: 'low' },
    sent: {
      'openai-chat': { verbosity: 'low' },
      'openai-responses': { text: { verbosity: 'low' } },
      anthropic: { refused: 'verbosity' },
      gemini: { refused: 'verbosity' },
    },
  },
  {
    what: 'one tool call at a time',
    input: { tools: [TOOL], parallelToolCalls: false },
    sent: {
      'openai-chat': { parallel_tool_calls: false },
      'openai-responses': { parallel_tool_calls: false },
      anthropic: { tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
      gemini: { refused: 'parallelToolCalls' },
    },
  },
  {
    what: 'one call at a time of a forced tool',
    input: { tools: [TOOL], toolChoice: { id: 'look' }, parallelToolCalls: false },
    sent: {
      'openai-chat': { tool_choice: { function: { name: 'look' } }, parallel_tool_calls: false },
      'openai-responses': { tool_choice: { name: 'look' }, parallel_tool_calls: false },
      anthropic: { tool_choice: { type: 'tool', name: 'look', disable_parallel_tool_use: true } },
      gemini: { refused: 'parallelToolCalls' },
    },
  },
  {
    what: 'one tool call at a time, where there are no tools or none may be called',
    input: { tools: [TOOL], toolChoice: 'none', parallelToolCalls: false },
    sent: {
      'openai-chat': { tool_choice: 'none' },
      'openai-responses': { tool_choice: 'none' },
      anthropic: { tool_choice: { type: 'none' } },
      gemini: { toolConfig: { functionCallingConfig: { mode: 'NONE' } } },
    },
  },
  { what: 'one tool call at a time without tools', input: { parallelToolCalls: false }, sent: same({}) },
  { what: 'a forced call without tools', input: { toolChoice: 'required' }, sent: same({ refused: 'toolChoice' }) },
  {
    what: 'a strict tool',
    input: { tools: [{ ...TOOL, strict: true }] },
    sent: {
      'openai-chat': { tools: [{ function: { strict: true } }] },
      'openai-responses': { tools: [{ strict: true }] },
      anthropic: { tools: [{ strict: true }] },
      gemini: { toolConfig: { functionCallingConfig: { mode: 'VALIDATED' } } },
    },
  },
  {
    what: 'a tool that is not strict',
    input: { tools: [{ ...TOOL, strict: false }] },
    sent: {
      'openai-chat': { tools: [{ function: { strict: false } }] },
      'openai-responses': { tools: [{ strict: false }] },
      anthropic: { tools: [{ name: 'look' }] },
      gemini: { tools: [{ functionDeclarations: [{ name: 'look' }] }] },
    },
  },
  {
    what: 'a schema that is not strict, with its description',
    input: { responseFormat: { type: 'json', name: 'a', description: 'An answer', schema: SCHEMA, strict: false } },
    sent: {
      'openai-chat': { response_format: { json_schema: { strict: false, description: 'An answer' } } },
      'openai-responses': { text: { format: { strict: false, description: 'An answer' } } },
      anthropic: { output_config: { format: { schema: { ...SCHEMA, description: 'An answer' } } } },
      gemini: { generationConfig: { responseJsonSchema: { ...SCHEMA, description: 'An answer' } } },
    },
  },
  {
    what: 'a schema',
    input: { responseFormat: { type: 'json', schema: SCHEMA } },
    sent: {
      'openai-chat': { response_format: { json_schema: { strict: true } } },
      'openai-responses': { text: { format: { strict: true } } },
      anthropic: { output_config: { format: { schema: SCHEMA } } },
      gemini: { generationConfig: { responseJsonSchema: SCHEMA } },
    },
  },
  ...(['low', 'high'] as const).map(
    (detail): Row => ({
      what: `the detail ${detail} of an image`,
      input: { messages: says(image(detail)) },
      sent: {
        'openai-chat': { messages: [{ content: [{ image_url: { detail } }] }] },
        'openai-responses': { input: [{ content: [{ detail }] }] },
        anthropic: { refused: 'detail' },
        gemini: { generationConfig: { mediaResolution: `MEDIA_RESOLUTION_${detail.toUpperCase()}` } },
      },
    }),
  ),
  {
    what: 'images of different detail',
    input: { messages: says(image('low'), image()) },
    sent: {
      'openai-chat': { messages: [{ content: [{ image_url: { detail: 'low' } }, { type: 'image_url' }] }] },
      'openai-responses': { input: [{ content: [{ detail: 'low' }, { detail: 'auto' }] }] },
      anthropic: { refused: 'detail' },
      gemini: { refused: 'detail' },
    },
  },
  { what: 'an image of no particular detail', input: { messages: says(image('auto'), image()) }, sent: same({}) },
  {
    what: 'a PDF',
    input: { messages: says(file('application/pdf', PDF, 'a.pdf')) },
    sent: {
      'openai-chat': {
        messages: [{ content: [{ file: { filename: 'a.pdf', file_data: `data:application/pdf;base64,${PDF}` } }] }],
      },
      'openai-responses': {
        input: [{ content: [{ filename: 'a.pdf', file_data: `data:application/pdf;base64,${PDF}` }] }],
      },
      anthropic: { messages: [{ content: [{ type: 'document', title: 'a.pdf', source: { data: PDF } }] }] },
      gemini: { contents: [{ parts: [{ inlineData: { mimeType: 'application/pdf', data: PDF } }] }] },
    },
  },
  {
    what: 'a text file without a name',
    input: { messages: says(file('text/plain', NOTE)) },
    sent: {
      'openai-chat': { messages: [{ content: [{ file: { filename: 'file', file_data: expect.any(String) } }] }] },
      'openai-responses': { input: [{ content: [{ filename: 'file' }] }] },
      anthropic: { messages: [{ content: [{ type: 'document', source: { type: 'text', data: 'Grüße' } }] }] },
      gemini: { contents: [{ parts: [{ inlineData: { mimeType: 'text/plain', data: NOTE } }] }] },
    },
  },
  {
    what: 'a file that only some read',
    input: { messages: says(file('application/zip', PDF, 'a.zip')) },
    sent: {
      'openai-chat': { messages: [{ content: [{ file: { filename: 'a.zip' } }] }] },
      'openai-responses': { input: [{ content: [{ filename: 'a.zip' }] }] },
      anthropic: { refused: 'file' },
      gemini: { refused: 'file' },
    },
  },
  {
    what: 'stop sequences',
    input: { stop: ['END'] },
    sent: {
      'openai-chat': { stop: ['END'] },
      'openai-responses': { refused: 'stop' },
      anthropic: { stop_sequences: ['END'] },
      gemini: { generationConfig: { stopSequences: ['END'] } },
    },
  },
  {
    what: 'a limit, a temperature',
    input: { maxTokens: 64, temperature: 0.2 },
    sent: {
      'openai-chat': { max_tokens: 64, temperature: 0.2 },
      'openai-responses': { max_output_tokens: 64, temperature: 0.2 },
      anthropic: { max_tokens: 64, temperature: 0.2 },
      gemini: { generationConfig: { maxOutputTokens: 64, temperature: 0.2 } },
    },
  },
  {
    what: 'a high temperature',
    input: { temperature: 1.5 },
    sent: {
      'openai-chat': { temperature: 1.5 },
      'openai-responses': { temperature: 1.5 },
      anthropic: { refused: 'temperature' },
      gemini: { generationConfig: { temperature: 1.5 } },
    },
  },
  {
    what: 'temperature and top_p together',
    input: { temperature: 0.5, topP: 0.9 },
    sent: {
      'openai-chat': { temperature: 0.5, top_p: 0.9 },
      'openai-responses': { temperature: 0.5, top_p: 0.9 },
      anthropic: { refused: 'topP' },
      gemini: { generationConfig: { temperature: 0.5, topP: 0.9 } },
    },
  },
  {
    what: 'top_p with a temperature that changes nothing',
    input: { temperature: 1, topP: 0.9 },
    sent: {
      'openai-chat': { top_p: 0.9 },
      'openai-responses': { top_p: 0.9 },
      anthropic: { top_p: 0.9 },
      gemini: { generationConfig: { topP: 0.9 } },
    },
  },
  {
    what: 'a temperature, to a model that takes none',
    input: { temperature: 0.2 },
    facts: { sampling: false },
    sent: same({ refused: 'temperature' }),
  },
  {
    what: 'top_p, to a model that takes none',
    input: { topP: 0.2 },
    facts: { sampling: false },
    sent: same({ refused: 'topP' }),
  },
  {
    what: 'a temperature of 1, to a model that takes no other',
    input: { temperature: 1, topP: 1 },
    facts: { sampling: false },
    sent: same({}),
  },
  effort('none', { thinking: { type: 'disabled' } }, thinks({ thinkingBudget: 0 })),
  effort('minimal', { refused: 'reasoning' }, thinks({ thinkingBudget: 512 })),
  effort('low', { output_config: { effort: 'low' } }, thinks({ thinkingBudget: 1_024 })),
  effort('high', { output_config: { effort: 'high' } }, thinks({ thinkingBudget: 24_576 })),
  effort('xhigh', { output_config: { effort: 'xhigh' } }, { refused: 'reasoning' }),
  effort('max', { output_config: { effort: 'max' } }, { refused: 'reasoning' }),
  {
    ...effort('none', { thinking: { type: 'disabled' } }, { refused: 'reasoning' }),
    what: 'reasoning none, to models that think by a level or a budget',
    facts: { thinking: 'budget' },
    ...GEMINI_LEVELS,
  },
  {
    ...effort('minimal', { thinking: { budget_tokens: 1_024 } }, thinks({ thinkingLevel: 'minimal' })),
    what: 'reasoning minimal, to models that think by a level or a budget',
    facts: { thinking: 'budget' },
    ...GEMINI_LEVELS,
  },
  {
    ...effort('xhigh', { thinking: { budget_tokens: 32_768 } }, { refused: 'reasoning' }),
    what: 'reasoning xhigh, to models that think by a level or a budget',
    facts: { thinking: 'budget', maxOutput: 64_000 },
    ...GEMINI_LEVELS,
  },
  {
    ...effort('xhigh', { refused: 'reasoning' }, { refused: 'reasoning' }),
    what: 'reasoning xhigh, to a model that may not write as much',
    facts: { thinking: 'budget', maxOutput: 32_000 },
    ...GEMINI_LEVELS,
  },
  {
    what: 'reasoning beside a temperature',
    input: { reasoning: 'low', temperature: 0.2 },
    sent: {
      'openai-chat': { reasoning_effort: 'low', temperature: 0.2 },
      anthropic: { refused: 'temperature' },
      gemini: { generationConfig: { temperature: 0.2, thinkingConfig: { thinkingBudget: 1_024 } } },
    },
  },
  {
    what: 'reasoning before a forced call',
    input: { reasoning: 'low', tools: [TOOL], toolChoice: 'required' },
    models: { 'openai-responses': 'gpt-5.4' },
    sent: {
      'openai-chat': { reasoning_effort: 'low', tool_choice: 'required' },
      'openai-responses': { reasoning: { effort: 'low' }, tool_choice: 'required' },
      anthropic: { refused: 'reasoning' },
      gemini: { toolConfig: { functionCallingConfig: { mode: 'ANY' } } },
    },
  },
]

describe('each field of a request leaves for every provider that has words for it, and is refused where one has none', () => {
  const simulators = {} as Record<FormatName, Simulator>
  const transport = new Transport()
  beforeAll(async () => {
    for (const name of NAMES) simulators[name] = await FORMATS[name].start({ text: '{}' })
  })
  afterAll(async () => {
    await transport.close()
    await Promise.all(NAMES.map((name) => simulators[name].close()))
  })

  async function ask(format: FormatName, { input, facts, models }: Row): Promise<void> {
    const model = models?.[format] ?? FORMATS[format].model
    const provider: Provider = {
      name: 'simulated',
      baseUrl: simulators[format].url,
      keyEnv: 'KEY',
      format,
      local: false,
      probed: false,
      families: [],
      traits: [],
      maxConcurrent: undefined,
    }
    await askProvider(transport, {
      provider,
      model,
      facts: {
        provider: 'simulated',
        id: model,
        tools: true,
        vision: true,
        reasoning: false,
        sampling: true,
        retired: false,
        source: undefined,
        asOf: undefined,
        ...facts,
      },
      key: 'test-key',
      input: { messages: says({ type: 'text', text: 'Hello' }), ...input },
      emit: undefined,
      signal: new AbortController().signal,
      timeouts: Settings.parse({}).timeouts,
    })
  }

  const cases = ROWS.flatMap((row) =>
    NAMES.flatMap((format) => {
      const expected = row.sent[format]
      return expected === undefined ? [] : [[row.what, format, row, expected] as const]
    }),
  )
  it.each(cases)('%s, to %s', async (_what, format, row, expected) => {
    const simulator = simulators[format]
    simulator.play({ text: '{}' })
    const error = await ask(format, row).catch((reason: unknown) => reason)
    if ('refused' in expected) {
      expect(error).toBeInstanceOf(AgentError)
      const { code, message, details } = error as AgentError
      expect([code, details]).toEqual(['unsupported_feature', { param: expected.refused }])
      // The name of the field, and why.
      expect(message).toMatch(new RegExp(`^${expected.refused}: .{20,}`))
      expect(simulator.requests).toEqual([])
    } else {
      expect(error).toBeUndefined()
      expect(simulator.refused).toEqual([])
      expect(simulator.requests[0]?.body).toMatchObject(expected)
    }
  })

  it('whatever fields a completion comes to have', () => {
    const tried = new Set(ROWS.flatMap(({ input }) => Object.keys(input)))
    const fields = Object.keys(complete.input().in.shape).filter((field) => !NOT_SENT.has(field))
    expect(fields.filter((field) => !tried.has(field))).toEqual([])
  })
})
