import { setTimeout as delay } from 'node:timers/promises'
import { type Simulator, type System, startOpenAiSimulator, startSystem } from '@agentos/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

const model = 'sim/test-model'
const LONG = Array.from({ length: 100 }, (_, n) => `word${n}`).join(' ')

let simulator: Simulator
/** In the middle of its answer the model waits until a test has done what it does there. */
let middle: PromiseWithResolvers<void>
let system: System

beforeAll(async () => {
  simulator = await startOpenAiSimulator({ text: LONG })
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    workerEnv: { 'llm-router': { OPENAI_API_KEY: 'test-key' } },
    config: {
      workers: [
        NO_GUEST_BUDGET,
        {
          name: 'llm-router',
          config: {
            providers: { sim: { baseUrl: simulator.url, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' } },
            // Even where somebody lists it, the demo answers for no model.
            fallback: ['demo/rules'],
            // Its provider fails on purpose, and often.
            breaker: { failures: 1_000 },
          },
        },
      ],
    },
  })
})
afterAll(async () => {
  await system?.stop()
  await simulator?.close()
})
beforeEach(() => {
  middle = Promise.withResolvers()
  simulator.play({ text: LONG, midway: () => middle.promise })
})
afterEach(() => middle.resolve())

/** Half of the model's words in one piece with an error. */
function breakOffAtOnce(): void {
  const error = 'data: {"error":{"message":"simulated overload","type":"server_error"}}\n\n'
  const rewritten = (body: string) => `${body.slice(0, body.indexOf('\n\n', body.indexOf('word50')))}\n\n${error}`
  simulator.play({ text: LONG, rewritten })
}

const HALF = LONG.slice(0, LONG.indexOf(' word51'))

function post(path: string, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(`${system.httpUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  })
}

/** Reads a stream; `until` sees all text so far. Ends with what was read, and whether the connection broke. */
async function read(
  response: Response,
  until: (text: string) => void = () => {},
): Promise<[text: string, broken: boolean]> {
  const decoder = new TextDecoder()
  let text = ''
  try {
    for await (const part of response.body!) {
      text += decoder.decode(part as Uint8Array, { stream: true })
      until(text)
    }
    return [text, false]
  } catch {
    return [text, true]
  }
}

/** Does something once, as soon as the model's words are arriving. */
function whenSpeaking(act: () => void): (text: string) => void {
  let done = false
  return (text) => {
    if (done || !text.includes('word3')) return
    done = true
    act()
  }
}

/** Kills a worker in the middle of a streamed answer and starts it again; what the client saw. */
async function killDuring(name: string, path: string, body: object): Promise<[text: string, broken: boolean]> {
  const worker = system.workers[name]!
  let back: Promise<unknown> | undefined
  const response = await post(path, body)
  const seen = await read(
    response,
    whenSpeaking(() => {
      back = worker.restart().finally(middle.resolve)
    }),
  )
  await back
  expect(back).toBeDefined()
  await system.ready()
  return seen
}

/** The text that a client of the events has at the end. */
function spokenAfter(events: string): string {
  return events
    .split('\n\n')
    .filter((event) => event.startsWith('event: text\n'))
    .map((event) => (JSON.parse(/^data: (.*)$/m.exec(event)![1]!) as { text: string }).text)
    .join('')
}

const chat = { message: 'speak', model, stream: true }
const completion = { model, stream: true, messages: [{ role: 'user', content: 'speak' }] }

/** The problem of the error event, which has to be the last of a stream of events. */
function lastError(text: string): { code: string; status: number } {
  const last = text.trimEnd().split('\n\n').at(-1)!
  expect(last).toMatch(/^event: error\n/)
  return JSON.parse(/^data: (.*)$/m.exec(last)![1]!)
}

describe('a streamed chat', () => {
  it('is whole when the router is killed in the middle: what came before is void, and the model is asked again', async () => {
    const asked = simulator.requests.length
    const [text, broken] = await killDuring('llm-router', '/v1/chat', chat)
    expect(broken).toBe(false)
    expect(text).toContain('event: restart')
    expect(spokenAfter(text.slice(text.lastIndexOf('event: restart')))).toBe(LONG)
    expect(text).toContain('event: done')
    expect(simulator.requests.length - asked).toBe(2)
  })

  it('is whole when agent-core is killed in the middle, and the model is asked only once', async () => {
    const asked = simulator.requests.length
    const [text, broken] = await killDuring('agent-core', '/v1/chat', chat)
    expect(broken).toBe(false)
    expect(spokenAfter(text)).toBe(LONG)
    expect(text).toContain('event: done')
    expect(simulator.requests.length - asked).toBe(1)
  })

  it('ends with the error of its provider, behind all words that came before it', async () => {
    breakOffAtOnce()
    const texts = await Promise.all(
      Array.from({ length: 20 }, async () => (await read(await post('/v1/chat', chat)))[0]),
    )
    for (const text of texts) {
      expect(spokenAfter(text)).toBe(HALF)
      expect(lastError(text)).toMatchObject({ code: 'upstream_error' })
    }
  })

  it('is whole when the worker that keeps its session is killed and comes back meanwhile', async () => {
    let back: Promise<void> | undefined
    const response = await post('/v1/chat', chat)
    const [text] = await read(
      response,
      whenSpeaking(() => {
        back = system.workers.memory!.restart().finally(middle.resolve)
      }),
    )
    await back
    expect(text).toContain('event: done')
    expect(text).toContain('word99')
  })

  it('is never answered by the rules demo in the place of a model that fails', async () => {
    simulator.play({ fault: { kind: 'status', status: 401 } })
    const { status, body } = await system.api<{ code: string }>('POST', '/v1/chat', { message: 'What is 2+2?', model })
    expect([status, body.code]).toEqual([502, 'upstream_auth'])
  })

  it('answers again after each of them', async () => {
    simulator.play({ text: 'well again' })
    const { body } = await system.api<ChatReply>('POST', '/v1/chat', { message: 'how are you?', model })
    expect(body.content).toBe('well again')
  })
})

describe('a streamed completion', () => {
  it('ends with an error of OpenAI’s shape when the router is killed in the middle', async () => {
    const [text, broken] = await killDuring('llm-router', '/v1/chat/completions', completion)
    expect(broken).toBe(false)
    const last = JSON.parse(text.trimEnd().split('\n\n').at(-1)!.replace('data: ', ''))
    expect(last).toMatchObject({
      error: { code: 'worker_unavailable', message: expect.any(String), type: expect.any(String) },
    })
    expect(text).not.toContain('[DONE]')
  })

  it('ends with the error of its provider, behind all words that came before it', async () => {
    breakOffAtOnce()
    const texts = await Promise.all(
      Array.from({ length: 20 }, async () => (await read(await post('/v1/chat/completions', completion)))[0]),
    )
    for (const text of texts) {
      const events = text
        .trimEnd()
        .split('\n\n')
        .map((event) => JSON.parse(event.replace('data: ', '')))
      expect(events.map(({ choices }) => choices?.[0].delta.content ?? '').join('')).toBe(HALF)
      expect(events.at(-1)).toMatchObject({
        error: { code: 'upstream_error', message: expect.stringContaining('overload') },
      })
    }
  })

  it('does not look whole when the worker that writes it is killed', async () => {
    const [text, broken] = await killDuring('streaming', '/v1/chat/completions', completion)
    expect(text).toContain('word3')
    expect(text).not.toContain('[DONE]')
    expect(broken).toBe(true)
  })

  it('is cancelled when its client leaves in the middle', async () => {
    const abort = new AbortController()
    const response = await post('/v1/chat/completions', completion, abort.signal)
    await read(
      response,
      whenSpeaking(() => abort.abort()),
    )
    await expect.poll(() => simulator.answering, { timeout: 20_000 }).toBe(0)
  })

  it('whose client leaves before the first word ends neither the worker nor the system', async () => {
    simulator.play({ text: 'too late for you', delayMs: 200 })
    const pid = system.workers.streaming!.pid
    for (let n = 0; n < 5; n += 1) {
      const abort = new AbortController()
      const request = post('/v1/chat/completions', completion, abort.signal).then(read, () => undefined)
      await delay(n * 60)
      abort.abort()
      await request
    }
    await expect.poll(() => simulator.answering, { timeout: 20_000 }).toBe(0)
    expect(system.workers.streaming!.running && system.workers.streaming!.pid).toBe(pid)
    simulator.play({ text: 'for you' })
    const reply = await system.api<{ choices: { message: { content: string } }[] }>('POST', '/v1/chat/completions', {
      ...completion,
      stream: false,
    })
    expect(reply.body.choices[0]!.message.content).toBe('for you')
  })
})

describe('a chat that is cancelled', () => {
  it('stops the function that it is waiting for', async () => {
    const guest = system.client()
    const { promise: called, resolve: calling } = Promise.withResolvers<void>()
    let told = false
    const observer = system.client({ owner: true, headers: { 'X-AgentOS-Realm': 'guest' } })
    guest.registerFunction('slow::work', async () => {
      calling()
      await new Promise(() => {})
    })
    const listed = async () =>
      JSON.stringify(await observer.trigger({ function_id: 'engine::functions::list', payload: { prefix: 'slow::' } }))
    await expect.poll(listed).toContain('slow::work')
    await system.api(
      'PATCH',
      '/v1/agents/default',
      { capabilities: { functions: ['slow::work', 'memory::*'] } },
      { owner: true, realm: 'guest' },
    )
    // What a plain client serves counts as external; here the owner lets it be called without being asked.
    await system.api('POST', '/v1/approvals/policy', { allow: ['slow::*'] }, { owner: true, realm: 'guest' })
    simulator.play([{ toolCalls: [{ name: 'slow__work', arguments: {} }] }, { text: 'never' }])
    const response = await post('/v1/chat', { message: 'work', model, stream: true })
    const end = read(response, (text) => {
      const runId = /"runId":"([^"]+)"/.exec(text)?.[1]
      if (!runId || told) return
      told = true
      void called.then(() => system.api('POST', `/v1/chat/${runId}/cancel`, {}))
    })
    const [text] = await end
    expect(lastError(text)).toMatchObject({ code: 'cancelled' })
    const inFlight = async (): Promise<number> =>
      Number(/^agentos_calls_in_flight (\d+)$/m.exec((await system.api('GET', '/metrics')).text)![1])
    await expect.poll(inFlight).toBe(0)
  })
})
