import { type System, startSystem } from '@agentos/testing'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_LOCAL_MODELS } from './support/all-workers.ts'

let system: System

beforeAll(async () => {
  system = await startSystem({ workers: ALL_WORKERS, env: NO_LOCAL_MODELS })
})
afterAll(() => system?.stop())

const chat = (message: string, more: object = {}) => system.api<ChatReply>('POST', '/v1/chat', { message, ...more })

describe('the first answer, on a machine with no model', () => {
  it('calculates, and says that no model is connected', async () => {
    const { status, body } = await chat('What is 17 times 23?')
    expect(status).toBe(200)
    expect(body.content).toContain('391')
    expect(body.content).toContain('no model connected')
    expect(body.model).toBe('demo/rules')
    expect(body).toMatchObject({ stopReason: 'stop', iterations: 0, toolCalls: [] })
    expect(body.sessionId).toMatch(/^session-/)
    expect(body.runId).toMatch(/^run-/)
  })

  it('streams typed events as they happen', async () => {
    const response = await fetch(`${system.httpUrl}/v1/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: 'remember that I like tea', stream: true }),
    })
    expect(response.headers.get('content-type')).toContain('text/event-stream')
    const text = await response.text()
    const events = [...text.matchAll(/^event: (\w+)$/gm)].map((match) => match[1])
    expect(events[0]).toBe('session')
    expect(events).toContain('toolCall')
    expect(events).toContain('toolResult')
    expect(events).toContain('text')
    expect(events.at(-1)).toBe('done')
    // The result of a call comes after the call, and text that follows comes after the result.
    expect(events.indexOf('toolResult')).toBeGreaterThan(events.indexOf('toolCall'))
    expect(events.lastIndexOf('text')).toBeGreaterThan(events.indexOf('toolResult'))
  })

  it('remembers over a kill -9 of the engine', async () => {
    const stored = await chat('remember that my dog is called Rex')
    expect(stored.body.toolCalls).toMatchObject([{ id: 'memory::store', ok: true }])
    await system.engine.kill()
    await system.engine.start()
    await system.ready()
    const found = await chat('what do you know about my dog?')
    expect(found.body.content).toContain('Rex')
  })

  it('keeps a session: the transcript has both turns in order', async () => {
    const first = await chat('What is 2 plus 2?')
    const { sessionId } = first.body
    await chat('What is 3 plus 3?', { sessionId })
    const { body } = await system.api<{ messages: { role: string; content: unknown }[] }>(
      'GET',
      `/v1/sessions/${sessionId}?agentId=default`,
    )
    expect(body.messages.map((message) => message.role)).toEqual(['user', 'assistant', 'user', 'assistant'])
    expect(JSON.stringify(body.messages)).toContain('3 plus 3')
  })

  it('refuses bad input with a problem that names the field', async () => {
    const { status, body } = await system.api<{ code: string; detail: string }>('POST', '/v1/chat', { mesage: 'hi' })
    expect(status).toBe(400)
    expect(body.code).toBe('invalid_input')
    expect(body.detail).toContain('message')
  })

  it('shows the whole answer as one trace: HTTP, agent, memory and model', async () => {
    const { headers } = await chat('What is 5 times 5?')
    const traceId = headers.get('x-trace-id')
    expect(traceId).toMatch(/^[0-9a-f]{32}$/)
    const names = async (): Promise<string> => {
      const { body } = await system.api<{ roots: Tree[] }>('GET', `/v1/traces/${traceId}`)
      return body.roots.flatMap(flatten).join(' ')
    }
    for (const name of ['agent::chat', 'memory::recall', 'llm::complete', 'memory::session::append']) {
      await expect.poll(names).toContain(name)
    }
    const { body } = await system.api<{ roots: Tree[] }>('GET', `/v1/traces/${traceId}`)
    expect(body.roots).toHaveLength(1)
    expect(body.roots[0]!.name).toContain('/v1/chat')
  })
})

interface Tree {
  name: string
  children: Tree[]
}

function flatten(span: Tree): string[] {
  return [span.name, ...(span.children ?? []).flatMap(flatten)]
}

describe("OpenAI's official client", () => {
  const client = () => new OpenAI({ baseURL: `${system.httpUrl}/v1`, apiKey: 'guest', maxRetries: 0 })

  it('streams an answer of an agent, chunk by chunk', async () => {
    const stream = await client().chat.completions.create({
      model: 'agent/default',
      messages: [{ role: 'user', content: 'What is 17 times 23?' }],
      stream: true,
      stream_options: { include_usage: true },
    })
    let text = ''
    const finish: (string | null)[] = []
    const ids = new Set<string>()
    let usage: unknown
    for await (const chunk of stream) {
      ids.add(chunk.id)
      text += chunk.choices[0]?.delta.content ?? ''
      if (chunk.choices[0]?.finish_reason) finish.push(chunk.choices[0].finish_reason)
      if (chunk.usage) usage = chunk.usage
    }
    expect(text).toContain('391')
    expect(finish).toEqual(['stop'])
    expect(ids.size).toBe(1)
    expect(usage).toMatchObject({ prompt_tokens: 0 })
  })

  it('gets a whole answer, and the list of models', async () => {
    const completion = await client().chat.completions.create({
      model: 'demo/rules',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: 'What is 6 times 7?' }] },
      ],
    })
    expect(completion.object).toBe('chat.completion')
    expect(completion.choices[0]?.message.content).toContain('42')
    const models = (await client().models.list()).data.map((model) => model.id)
    expect(models).toEqual(expect.arrayContaining(['agent/default', 'demo/rules']))
  })

  it('gets its own kind of errors', async () => {
    const refused = client().chat.completions.create({
      model: 'agent/default',
      messages: [{ role: 'user', content: 'hi' }],
      tools: [{ type: 'function', function: { name: 'x', parameters: { type: 'object' } } }],
    })
    await expect(refused).rejects.toBeInstanceOf(OpenAI.BadRequestError)
    const missing = client().chat.completions.create({
      model: 'openai/gpt-4o',
      messages: [{ role: 'user', content: 'hi' }],
    })
    await expect(missing).rejects.toMatchObject({ status: 503, code: 'not_configured' })
  })
})
