import { randomUUID } from 'node:crypto'
import { sessionAppend } from '@agentos/contracts/memory'
import type { Message } from '@agentos/contracts/message'
import {
  type RecordedRequest,
  type Simulator,
  type System,
  startAnthropicSimulator,
  startSystem,
} from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

let simulator: Simulator
let system: System

beforeAll(async () => {
  simulator = await startAnthropicSimulator({ text: 'hello' })
  const providers = { sim: { baseUrl: simulator.url, format: 'anthropic', keyEnv: 'ANTHROPIC_API_KEY' } }
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    workerEnv: { 'llm-router': { ANTHROPIC_API_KEY: 'test-key' } },
    config: { workers: [NO_GUEST_BUDGET, { name: 'llm-router', config: { providers, retries: { baseMs: 10 } } }] },
  })
})
afterAll(async () => {
  await system?.stop()
  await simulator?.close()
})

const chat = (message: string, sessionId: string) =>
  system.api<ChatReply & { code?: string }>('POST', '/v1/chat', { message, sessionId, model: 'sim/test-model' })
const messagesOf = (request: RecordedRequest) => request.body.messages as { role: string; content: unknown }[]
const size = (request: RecordedRequest) => JSON.stringify(request.body.messages).length
const lastRequest = () => simulator.requests.at(-1)!

/** Turns of a question and an answer, as they would be after that many chats. */
async function append(sessionId: string, turns: number, padding = ''): Promise<void> {
  const messages = Array.from({ length: turns }, (_, n): Message[] => [
    { role: 'user', content: `question number ${n}? ${padding}` },
    { role: 'assistant', content: `answer number ${n}. ${padding}` },
  ])
  const owner = system.client({ owner: true, headers: { 'X-AgentOS-Realm': 'guest' } })
  await owner.call(sessionAppend, { agentId: 'default', sessionId, messages: messages.flat() })
}

describe('a long session', () => {
  it('is known after a turn of thirty rounds of function calls', { timeout: 60_000 }, async () => {
    const sessionId = randomUUID()
    simulator.play([
      { text: 'Noted: the harbour is in Bergen.' },
      ...Array.from({ length: 30 }, (_, n) => ({
        toolCalls: [{ name: 'memory__search', arguments: { query: `subject ${n}` } }],
      })),
      { text: 'I looked at thirty subjects.' },
      { text: 'In Bergen.' },
    ])
    await chat('The harbour is in Bergen', sessionId)
    expect((await chat('Look at thirty subjects', sessionId)).body).toMatchObject({ iterations: 30 })
    expect((await chat('Where is it?', sessionId)).body.content).toBe('In Bergen.')
    const sent = JSON.stringify(lastRequest().body.messages)
    for (const text of ['The harbour is in Bergen', 'Look at thirty subjects', 'I looked at thirty subjects.']) {
      expect(sent).toContain(text)
    }
    expect(simulator.refused).toEqual([])
  })

  it('is whole where it is short, however many messages it has', async () => {
    const sessionId = randomUUID()
    await append(sessionId, 70)
    simulator.play({ text: 'yes' })
    await chat('Do you remember?', sessionId)
    expect(messagesOf(lastRequest())).toHaveLength(141)
    expect(messagesOf(lastRequest())[0]).toMatchObject({ role: 'user', content: expect.anything() })
    expect(JSON.stringify(lastRequest().body)).toContain('question number 0?')
  })

  it('is cut at a turn where it is long, and says what is left out', async () => {
    const sessionId = randomUUID()
    await append(sessionId, 70, 'padding '.repeat(250))
    simulator.play({ text: 'yes' })
    await chat('Do you remember?', sessionId)
    expect(simulator.refused).toEqual([])
    expect(size(lastRequest())).toBeLessThan(150_000)
    const messages = messagesOf(lastRequest())
    expect(messages[0]!.role).toBe('user')
    expect(JSON.stringify(messages[0])).toMatch(/\[AgentOS: \d+ earlier messages .* left out .*question number \d+\?/)
    expect(JSON.stringify(messages.slice(-3))).toMatch(/question number 69\?.*answer number 69\..*Do you remember\?/)
  })

  it('is shortened and asked once more where it does not fit into the model', async () => {
    const sessionId = randomUUID()
    await append(sessionId, 20, 'padding '.repeat(100))
    const overflow = { kind: 'status', status: 400, message: 'prompt is too long: 9000 tokens > 4000 maximum' } as const
    const sizes: number[] = []
    simulator.play((request) => {
      sizes.push(size(request))
      return size(request) > 12_000 ? { fault: overflow } : { text: 'I do.' }
    })
    expect((await chat('Do you remember?', sessionId)).body.content).toBe('I do.')
    expect(sizes).toHaveLength(2)
    expect(simulator.refused).toEqual([])
    const sent = JSON.stringify(lastRequest().body.messages)
    expect(sent).toMatch(/\[AgentOS: \d+ earlier messages/)
    for (const text of ['question number 19?', 'answer number 19.', 'Do you remember?']) expect(sent).toContain(text)
    expect((await chat('And now?', sessionId)).body.content).toBe('I do.')
  })

  it.each([
    ['beside the words', { n_ctx: 4_096 }],
    ['nowhere', {}],
  ])('is cut at once by the next question, where the provider says its context %s', async (said, beside) => {
    const sessionId = randomUUID()
    const model = `sim/small-${Object.keys(beside).length}`
    const ask = (message: string) => system.api<ChatReply>('POST', '/v1/chat', { message, sessionId, model })
    await append(sessionId, 25, 'padding '.repeat(250))
    const message = 'the request exceeds the available context size. try increasing the context size'
    const rewritten = () => JSON.stringify({ error: { code: 400, type: 'invalid_request_error', message, ...beside } })
    let sent = 0
    simulator.play((request) => {
      sent += 1
      return size(request) > 12_000 ? { form: 'whole', rewritten } : { text: 'I do.' }
    })
    expect((await ask('Do you remember?')).body).toMatchObject({ content: 'I do.' })
    expect(sent, said).toBeLessThanOrEqual(5)
    sent = 0
    expect((await ask('And now?')).body).toMatchObject({ content: 'I do.' })
    expect(sent).toBe(1)
  })

  it('says that it does not fit where it cannot be shortened any more', async () => {
    simulator.play({ fault: { kind: 'status', status: 400, message: 'prompt is too long: 9000 tokens > 10 maximum' } })
    const { status, body } = await chat('Hello?', randomUUID())
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'context_overflow' })
    expect(simulator.requests).toHaveLength(1)
  })
})
