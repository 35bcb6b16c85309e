import { type Simulator, type System, startOpenAiSimulator, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

const LONG = Array.from({ length: 100 }, (_, n) => `word${n}`).join(' ')
const FIRST = 'Let me look into it first.'
const WAIT = { timeout: 30_000 }

let simulator: Simulator
let system: System
/** The function that the model calls: it is under way until it is let go. */
let work: { reach: () => void; released: Promise<void> }

beforeAll(async () => {
  simulator = await startOpenAiSimulator({ text: LONG })
  const providers = { sim: { baseUrl: simulator.url, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' } }
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    workerEnv: { 'llm-router': { OPENAI_API_KEY: 'test-key' } },
    config: { workers: [NO_GUEST_BUDGET, { name: 'llm-router', config: { providers } }] },
  })
  const owner = { owner: true, realm: 'guest' } as const
  const capabilities = { functions: ['slow::work', 'memory::*'] }
  await system.api('PATCH', '/v1/agents/default', { capabilities }, owner)
  await system.api('POST', '/v1/approvals/policy', { allow: ['slow::*'] }, owner)
  const client = system.client()
  client.registerFunction('slow::work', async () => {
    work.reach()
    await work.released
    return { worked: true }
  })
  await client.trigger({ function_id: 'engine::functions::list', payload: {} })
})
afterAll(async () => {
  await system?.stop()
  await simulator?.close()
})

/** `reached` resolves when the function is under way. */
function hold(): { reached: Promise<void>; release: () => void } {
  const reached = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  work = { reach: reached.resolve, released: released.promise }
  return { reached: reached.promise, release: released.resolve }
}

type Told = [event: string, data: Record<string, unknown>]

/** The events of a chat as they come, the pieces of a text put together. */
class Reader {
  readonly told: Told[] = []
  readonly end: Promise<void>

  constructor(message: string, key: string) {
    this.end = this.read(message, key)
  }

  /** What was told of the content: everything but the result. */
  get content(): Told[] {
    return this.told.filter(([event]) => event !== 'done')
  }

  get texts(): unknown[] {
    return this.told.filter(([event]) => event === 'text').map(([, { text }]) => text)
  }

  private async read(message: string, key: string): Promise<void> {
    const response = await fetch(`${system.httpUrl}/v1/chat`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key },
      body: JSON.stringify({ message, model: 'sim/test-model', stream: true }),
    })
    let left = ''
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
      const blocks = (left + part).split('\n\n')
      left = blocks.pop()!
      for (const block of blocks) this.take(block)
    }
  }

  private take(block: string): void {
    const event = /^event: (.*)$/m.exec(block)?.[1]
    if (event === undefined) return
    const data = JSON.parse(/^data: (.*)$/m.exec(block)![1]!) as Record<string, unknown>
    const last = this.told.at(-1)
    if (event === 'text' && last?.[0] === 'text') last[1] = { ...last[1], text: `${last[1].text}${data.text}` }
    else this.told.push([event, data])
  }
}

describe('a chat that is joined with its key and a stream', () => {
  it('is told from its beginning, as the first caller was, while it is under way and when it is over', async () => {
    simulator.play([
      { text: FIRST, toolCalls: [{ name: 'slow__work', arguments: {} }] },
      { text: LONG, delayMs: 5 },
    ])
    const asked = simulator.requests.length
    const { reached, release } = hold()
    const first = new Reader('look', 'joined')
    await reached
    const joined = new Reader('look', 'joined')
    const begun = ['session', 'text', 'toolCall', 'usage']
    await expect.poll(() => joined.told.map(([event]) => event), WAIT).toEqual(begun)
    await expect.poll(() => first.told, WAIT).toEqual(joined.told)
    release()
    await Promise.all([first.end, joined.end])
    const after = new Reader('look', 'joined')
    await after.end
    expect(first.texts).toEqual([FIRST, LONG])
    for (const reader of [joined, after]) expect(reader.told).toEqual(first.told)
    expect(first.told.at(-1)).toMatchObject(['done', { content: LONG, stopReason: 'stop' }])
    expect(simulator.requests.length - asked).toBe(2)
  })

  it('is stopped for all who read it', async () => {
    simulator.play([{ toolCalls: [{ name: 'slow__work', arguments: {} }] }, { text: 'never' }])
    const { reached, release } = hold()
    const readers = [new Reader('stop', 'stopped')]
    await reached
    readers.push(new Reader('stop', 'stopped'))
    await expect.poll(() => readers[1]!.told.length, WAIT).toBeGreaterThan(1)
    const { runId } = readers[1]!.told[0]![1]
    await system.api('POST', `/v1/chat/${runId}/cancel`, {})
    await Promise.all(readers.map(({ end }) => end))
    for (const { told } of readers) expect(told.at(-1)).toMatchObject(['error', { code: 'cancelled' }])
    release()
  })

  it('is told each answer once after a kill of the engine in the middle of the second', async () => {
    simulator.play([
      { text: FIRST, toolCalls: [{ name: 'memory__search', arguments: { query: 'x' } }] },
      { text: LONG, delayMs: 10 },
    ])
    const broken = new Reader('search', 'killed')
    const lost = broken.end.catch(() => {})
    await expect.poll(() => broken.texts.at(1), WAIT).toContain('word3')
    await system.engine.kill()
    await lost
    simulator.play({ text: LONG })
    await system.engine.start()
    await system.ready()
    const joined = new Reader('search', 'killed')
    await joined.end
    expect(joined.texts).toEqual([FIRST, LONG])
    const events = joined.told.map(([event]) => event)
    expect(events).toEqual(['session', 'text', 'toolCall', 'usage', 'toolResult', 'text', 'usage', 'done'])
    expect(joined.content.slice(0, 5)).toEqual(broken.content.slice(0, 5))
  })
})
