import {
  type Simulator,
  type System,
  startAnthropicSimulator,
  startOpenAiSimulator,
  startSystem,
} from '@agentos/testing'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

type Params = OpenAI.ChatCompletionCreateParamsNonStreaming
type Field = Exclude<keyof Params, 'model' | 'messages' | 'stream'>

/** What becomes of a field of the official client: what leaves for the provider, or that it has no part in the answer. */
type Outcome = { sent: object } | 'refused' | 'no part'

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const IMAGE = `data:image/png;base64,${PIXEL}`
const PDF = `data:application/pdf;base64,${Buffer.from('%PDF-1.7').toString('base64')}`
const SCHEMA = { type: 'object', properties: {}, additionalProperties: false }
const look: OpenAI.ChatCompletionTool = {
  type: 'function',
  function: { name: 'look', description: 'Looks', parameters: { type: 'object', properties: {} }, strict: false },
}

/** Every field that the official client has: a new one does not compile until it is known what becomes of it. */
const FIELDS: { [F in Field]-?: [value: Params[F], outcome: Outcome][] } = {
  audio: [[{ format: 'mp3', voice: 'alloy' }, 'refused']],
  frequency_penalty: [[0.5, { sent: { frequency_penalty: 0.5 } }]],
  function_call: [['auto', 'refused']],
  functions: [[[{ name: 'look' }], 'refused']],
  logit_bias: [[{ '50256': -100 }, 'refused']],
  logprobs: [
    [true, 'refused'],
    [false, 'no part'],
  ],
  max_completion_tokens: [[64, { sent: { max_tokens: 64 } }]],
  max_tokens: [[64, { sent: { max_tokens: 64 } }]],
  metadata: [[{ ticket: '7' }, 'no part']],
  modalities: [
    [['text', 'audio'], 'refused'],
    [['text'], 'no part'],
  ],
  moderation: [[{ model: 'omni' } as Params['moderation'], 'refused']],
  n: [
    [2, 'refused'],
    [1, 'no part'],
  ],
  parallel_tool_calls: [[false, { sent: {} }]],
  prediction: [[{ type: 'content', content: 'x' }, 'refused']],
  presence_penalty: [[-1, { sent: { presence_penalty: -1 } }]],
  prompt_cache_key: [['k', 'no part']],
  prompt_cache_options: [[{ ttl: '30m' } as Params['prompt_cache_options'], 'no part']],
  prompt_cache_retention: [['24h', 'no part']],
  reasoning_effort: (['none', 'minimal', 'low', 'xhigh', 'max'] as const).map((level) => [
    level,
    { sent: { reasoning_effort: level } },
  ]),
  response_format: [
    [{ type: 'json_object' }, { sent: { response_format: { type: 'json_object' } } }],
    [
      { type: 'json_schema', json_schema: { name: 'a', description: 'An answer', schema: SCHEMA, strict: false } },
      { sent: { response_format: { json_schema: { name: 'a', description: 'An answer', strict: false } } } },
    ],
    [
      { type: 'json_schema', json_schema: { name: 'a', schema: SCHEMA, strict: true } },
      { sent: { response_format: { json_schema: { strict: true } } } },
    ],
  ],
  safety_identifier: [['s', 'no part']],
  seed: [[7, { sent: { seed: 7 } }]],
  service_tier: [
    ['flex', 'refused'],
    ['auto', 'no part'],
  ],
  stop: [
    ['END', { sent: { stop: ['END'] } }],
    [['A', 'B'], { sent: { stop: ['A', 'B'] } }],
  ],
  store: [
    [true, 'refused'],
    [false, 'no part'],
  ],
  stream_options: [[null, 'no part']],
  temperature: [[0, { sent: { temperature: 0 } }]],
  tool_choice: [['auto', 'no part']],
  tools: [[[look], { sent: { tools: [{ function: { name: 'look', strict: false } }] } }]],
  top_logprobs: [[3, 'refused']],
  top_p: [[0.9, { sent: { top_p: 0.9 } }]],
  user: [['u', 'no part']],
  verbosity: [['low', { sent: { verbosity: 'low' } }]],
  web_search_options: [[{ search_context_size: 'low' }, 'refused']],
}

const showing = (url: string) => ({ role: 'user', content: [{ type: 'image_url', image_url: { url } }] })

const said = (content: string | null) => ({ role: 'assistant', content, refusal: null })
const result = (tool_call_id: string) => ({ role: 'tool', tool_call_id, content: 'seen' })

let openai: Simulator
let anthropic: Simulator
let system: System
let client: OpenAI

beforeAll(async () => {
  openai = await startOpenAiSimulator({ text: '{}' })
  anthropic = await startAnthropicSimulator({ text: '{}' })
  const keyEnv = 'OPENAI_API_KEY'
  const providers = {
    one: { baseUrl: openai.url, format: 'openai-chat', keyEnv, models: ['test-model'] },
    two: { baseUrl: anthropic.url, format: 'anthropic', keyEnv },
  }
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    workerEnv: { 'llm-router': { OPENAI_API_KEY: 'test-key' } },
    config: { workers: [NO_GUEST_BUDGET, { name: 'llm-router', config: { providers, retries: { max: 0 } } }] },
  })
  client = new OpenAI({ baseURL: `${system.httpUrl}/v1`, apiKey: 'guest', maxRetries: 0 })
})
afterAll(async () => {
  await system?.stop()
  await openai?.close()
  await anthropic?.close()
})

const ask = async (more: object, model = 'one/test-model') => {
  openai.play({ text: '{}' })
  anthropic.play({ text: '{}' })
  const request = { model, messages: [{ role: 'user', content: 'hi' }], ...more } as Params
  const reply = await client.chat.completions.create(request).catch((error: unknown) => error)
  return { reply, body: (openai.requests[0] ?? anthropic.requests[0])?.body }
}

describe('a field of the official client', () => {
  const cases = Object.entries(FIELDS).flatMap(([field, tries]) =>
    tries.map(([value, outcome]) => [field, value, outcome] as const),
  )
  it.each(cases)('%s %j', async (field, value, outcome) => {
    const { reply, body } = await ask({ [field]: value })
    if (outcome === 'refused') {
      expect(reply).toMatchObject({ status: 400, code: 'unsupported_feature', param: field })
      expect((reply as Error).message).toMatch(new RegExp(`${field}: .{15,}`))
      expect(body).toBeUndefined()
    } else {
      expect(reply).toMatchObject({ object: 'chat.completion' })
      if (outcome === 'no part') expect(body).toEqual({ model: 'test-model', messages: expect.any(Array) })
      else expect(body).toMatchObject(outcome.sent)
    }
  })

  it.each(['one/test-model', 'two/claude-test'])(
    'carries a schema as it is, a key __proto__ too: %s',
    async (model) => {
      const text = '{"type":"object","properties":{"__proto__":{"type":"string"}},"__proto__":{"polluted":1}}'
      const parameters: unknown = JSON.parse(text)
      const tools = [{ type: 'function', function: { name: 'f', parameters } }]
      const format = { type: 'json_schema', json_schema: { name: 'n', schema: parameters } }
      const { reply, body } = await ask(
        { tools, ...(model.startsWith('one') ? { response_format: format } : {}) },
        model,
      )
      expect(reply).toMatchObject({ object: 'chat.completion' })
      expect(JSON.stringify(body).split('"__proto__":{"polluted":1}')).toHaveLength(model.startsWith('one') ? 3 : 2)
      expect({}).not.toHaveProperty('polluted')
    },
  )

  it('that nobody knows is refused by its name, and so is a value that is none', async () => {
    const unknown = await ask({ temprature: 0.2 })
    expect(unknown.reply).toMatchObject({ status: 400, code: 'unsupported_feature', param: 'temprature' })
    const wrong = await ask({ reasoning_effort: 'heroic' })
    expect(wrong.reply).toMatchObject({ status: 400, code: 'invalid_input', param: 'reasoning_effort' })
    const audio = { type: 'input_audio', input_audio: { data: 'x', format: 'wav' } }
    const part = await ask({ messages: [{ role: 'user', content: [{ type: 'text', text: 'a' }, audio] }] })
    expect(part.reply).toMatchObject({ status: 400, param: 'messages.0.content.1.type' })
  })

  it.each([
    [{ seed: 7 }, 'seed'],
    [{ frequency_penalty: 1 }, 'frequency_penalty'],
    [{ verbosity: 'low' }, 'verbosity'],
    [{ reasoning_effort: 'minimal' }, 'reasoning_effort'],
    [{ temperature: 0.5, top_p: 0.5 }, 'top_p'],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: IMAGE, detail: 'low' } }] }] },
      'detail',
    ],
  ])(
    'that another format has no words for is refused under the name that the client gave it: %j',
    async (more, param) => {
      const { reply, body } = await ask(more, 'two/claude-test')
      expect(reply).toMatchObject({ status: 400, code: 'unsupported_feature', param })
      expect((reply as Error).message).toContain(`${param}: `)
      expect(body).toBeUndefined()
    },
  )

  it.each([
    ['the client’s own, not ours of the same sound', { reasoning: { effort: 'low' } }, 'reasoning'],
    ['the client’s own, not ours of the same sound', { toolChoice: 'auto' }, 'toolChoice'],
    [
      'a tool that is not there',
      { tools: [look], tool_choice: { type: 'function', function: { name: 'zzz' } } },
      'tool_choice',
    ],
    ['two tools of one name', { tools: [look, look] }, 'tools'],
    ['a stop of no letter', { stop: [''] }, 'stop.0'],
    ['an image by plain http', { messages: [showing('http://example.com/a.png')] }, 'messages.0'],
  ])('is named as the client wrote it: %s', async (_what, more, param) => {
    const { reply, body } = await ask(more)
    expect(reply).toMatchObject({ status: 400, param })
    expect((reply as Error).message).toMatch(new RegExp(`^400 ${param}: .{15,}`))
    expect(body).toBeUndefined()
  })

  it('parallel_tool_calls leaves beside tools, and allowed_tools leaves those that are allowed', async () => {
    const other: OpenAI.ChatCompletionTool = { type: 'function', function: { name: 'other' } }
    const tools = [look, other]
    expect((await ask({ tools, parallel_tool_calls: false })).body).toMatchObject({ parallel_tool_calls: false })
    const named = { type: 'function', function: { name: 'look' } }
    const choice = { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [named] } }
    for (const model of ['one/test-model', 'two/claude-test']) {
      const { body } = await ask({ tools, tool_choice: choice }, model)
      expect(body?.tools).toHaveLength(1)
      expect(JSON.stringify(body)).toContain('"look"')
      expect(JSON.stringify(body?.tool_choice)).toMatch(/required|any/)
    }
    const stray = {
      ...choice,
      allowed_tools: { mode: 'auto', tools: [{ type: 'function', function: { name: 'nobody' } }] },
    }
    expect((await ask({ tools, tool_choice: stray })).reply).toMatchObject({ status: 400, param: 'tool_choice' })
  })
})

describe('a field one level down', () => {
  const calling = { id: 'c1', type: 'function', function: { name: 'look', arguments: '{}' } }

  it.each([
    [{ tools: [{ ...look, function: { ...look.function, foo: 1 } }] }, 'tools.0.function.foo'],
    [{ tools: [{ ...look, cache_control: { type: 'ephemeral' } }] }, 'tools.0.cache_control'],
    [{ stream_options: { foo: 1 } }, 'stream_options.foo'],
    [{ response_format: { type: 'json_object', foo: 1 } }, 'response_format.foo'],
    [{ messages: [{ role: 'user', content: 'a', foo: 1 }] }, 'messages.0.foo'],
    [
      {
        messages: [
          { ...said('a'), audio: { id: 'x' } },
          { role: 'user', content: 'b' },
        ],
      },
      'messages.0.audio',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'text', text: 'a', cache_control: { type: 'ephemeral' } }] }] },
      'messages.0.content.0.cache_control',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: IMAGE, foo: 1 } }] }] },
      'messages.0.content.0.image_url.foo',
    ],
    [
      { messages: [{ role: 'assistant', tool_calls: [{ ...calling, foo: 1 }] }, result('c1')], tools: [look] },
      'messages.0.tool_calls.0.foo',
    ],
    [
      {
        messages: [
          { role: 'system', content: 'a', name: 'Eva' },
          { role: 'user', content: 'b' },
        ],
      },
      'messages.0.name',
    ],
    [
      {
        messages: [
          { role: 'assistant', tool_calls: [calling] },
          { ...result('c1'), name: 'other' },
        ],
        tools: [look],
      },
      'messages.1.name',
    ],
  ])('that nobody knows is refused by its path: %j', async (more, param) => {
    const { reply, body } = await ask(more)
    expect(reply).toMatchObject({ status: 400, code: 'unsupported_feature', param })
    expect((reply as Error).message).toMatch(new RegExp(`${param}: .{15,}`))
    expect(body).toBeUndefined()
  })

  it('may be what an answer has and a request does not need: it comes back', async () => {
    const brought = { ...said('seen'), annotations: [], audio: null, parsed: null, reasoning_content: 'hm' }
    const called = { ...said(null), tool_calls: [{ ...calling, index: 0 }] }
    const messages = [
      { role: 'user', content: 'Look' },
      called,
      { ...result('c1'), name: 'look' },
      brought,
      { role: 'user', content: 'and?' },
    ]
    expect((await ask({ messages, tools: [look] })).reply).toMatchObject({ object: 'chat.completion' })
  })

  it('tells who speaks, where the provider’s format says that; each speaker has a message', async () => {
    const messages = [
      { role: 'user', content: 'I am here.', name: 'Eva' },
      { role: 'user', content: 'So am I.', name: 'Ada' },
      { role: 'assistant', content: 'Hello.', name: 'Host' },
      { role: 'user', content: 'Who?', name: 'Eva' },
    ]
    const { reply, body } = await ask({ messages })
    expect(reply).toMatchObject({ object: 'chat.completion' })
    expect(body?.messages).toEqual(messages)
    const refused = await ask({ messages }, 'two/claude-test')
    expect(refused.reply).toMatchObject({ status: 400, code: 'unsupported_feature', param: 'messages.0.name' })
    expect(refused.body).toBeUndefined()
  })
})

describe('a part of a message', () => {
  it('may be a file, an image with its detail, a refusal, and an image in the result of a tool', async () => {
    const messages: unknown[] = [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'Read this' },
          { type: 'file', file: { filename: 'a.pdf', file_data: PDF } },
          { type: 'image_url', image_url: { url: IMAGE } },
        ],
      },
      { role: 'assistant', content: [{ type: 'refusal', refusal: 'I would rather not.' }] },
      { role: 'user', content: 'Why?' },
      { role: 'assistant', content: null, refusal: 'I may not say.' },
      { role: 'user', content: 'Then look' },
      { role: 'assistant', tool_calls: [{ id: 'c1', type: 'function', function: { name: 'look', arguments: '{}' } }] },
      {
        role: 'tool',
        tool_call_id: 'c1',
        content: [
          { type: 'text', text: 'seen' },
          { type: 'image_url', image_url: { url: IMAGE } },
        ],
      },
    ]
    for (const model of ['one/test-model', 'two/claude-test']) {
      const { reply, body } = await ask({ messages, tools: [look] }, model)
      expect(reply).toMatchObject({ object: 'chat.completion' })
      const sent = JSON.stringify(body)
      for (const told of ['a.pdf', PDF.split(',')[1]!, 'I would rather not.', 'I may not say.', 'seen']) {
        expect(sent).toContain(told)
      }
      expect(sent.split(PIXEL)).toHaveLength(3)
    }
    const { body } = await ask({
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: IMAGE, detail: 'low' } }] }],
    })
    expect(body).toMatchObject({ messages: [{ content: [{ image_url: { detail: 'low' } }] }] })
    const uploaded = { role: 'user', content: [{ type: 'file', file: { file_id: 'file-1' } }] }
    expect((await ask({ messages: [uploaded] })).reply).toMatchObject({
      code: 'unsupported_feature',
      param: 'messages.0.content.0.file.file_id',
    })
  })
})

describe('GET /v1/models/:id', () => {
  it('tells of an agent and of a model, by its id, encoded or not, and by its own name', async () => {
    for (const id of ['agent/default', 'one/test-model', 'test-model']) {
      expect(await client.models.retrieve(id)).toMatchObject({ id, object: 'model' })
    }
    const plain = await system.api('GET', '/v1/models/agent/default')
    expect(plain.body).toMatchObject({ id: 'agent/default', owned_by: 'agentos' })
  })

  it('is 404 for what is not there', async () => {
    for (const id of ['agent/nobody', 'one/other', 'gpt-nobody']) {
      await expect(client.models.retrieve(id)).rejects.toMatchObject({
        constructor: OpenAI.NotFoundError,
        code: 'model_not_found',
        param: 'model',
      })
    }
  })
})
