import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type System, startEngine, startOpenAiSimulator, startSystem } from '@agentos/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { ALL_WORKERS, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

let system: System
afterEach(() => system?.stop())

function spans(traceId: string, name: string): Buffer {
  const now = BigInt(Date.now()) * 1_000_000n
  const span = {
    traceId,
    spanId: randomBytes(8).toString('hex'),
    name,
    startTimeUnixNano: String(now),
    endTimeUnixNano: String(now + 5_000_000n),
    status: { code: 1 },
  }
  const resource = { attributes: [{ key: 'service.name', value: { stringValue: 'a-client' } }] }
  return Buffer.from(`OTLP${JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] })}`)
}

const names = async (traceId: string, realm: string): Promise<string[]> => {
  const { body } = await system.api<{ roots: { name: string; service_name: string }[] }>(
    'GET',
    `/v1/traces/${traceId}`,
    undefined,
    { owner: true, realm },
  )
  return body.roots.map(({ name }) => name)
}

describe('telemetry of a client', () => {
  it('at /otel becomes spans of its trace, and what is no telemetry is dropped', async () => {
    system = await startEngine()
    const traceId = randomBytes(16).toString('hex')
    const socket = new WebSocket(`${system.wsUrl}/otel`)
    await once(socket, 'open')
    socket.send(Buffer.from('OTLP{"resourceSpans": 7'))
    socket.send(Buffer.from('MTRC{}'))
    socket.send('text')
    socket.send(spans(traceId, 'step of a client'))
    await expect.poll(() => names(traceId, 'guest')).toEqual(['step of a client'])
    expect(socket.readyState).toBe(WebSocket.OPEN)
    socket.terminate()
  })

  it('is not taken from guests where they are not let in', async () => {
    system = await startEngine({ config: { agentos: { guests: false } } })
    const traceId = randomBytes(16).toString('hex')
    const guest = new WebSocket(`${system.wsUrl}/otel`)
    guest.on('open', () => guest.send(spans(traceId, 'forged')))
    const [message] = await once(guest, 'message')
    expect(JSON.parse(String(message))).toMatchObject({ type: 'error', error: { code: 'AUTH_ERROR' } })
    await once(guest, 'close')
    const owner = new WebSocket(`${system.wsUrl}/otel`, { headers: { authorization: `Bearer ${system.ownerToken}` } })
    await once(owner, 'open')
    owner.send(spans(traceId, 'real'))
    await expect.poll(() => names(traceId, 'default')).toEqual(['real'])
    owner.terminate()
  })
})

describe('figures', () => {
  it('counts what a chat took where Prometheus reads it, also while workers are down', async () => {
    const provider = await startOpenAiSimulator({ text: 'hello', usage: { input: 100, output: 50 } })
    const router = {
      providers: { bank: { baseUrl: provider.url, keyEnv: 'OPENAI_API_KEY' } },
      prices: { 'bank/counted': { input: 1, output: 2 } },
    }
    system = await startSystem({
      workers: ALL_WORKERS,
      env: NO_LOCAL_MODELS,
      workerEnv: { 'llm-router': { OPENAI_API_KEY: provider.key } },
      config: { workers: [NO_GUEST_BUDGET, { name: 'llm-router', config: router }] },
    })
    const { status } = await system.api('POST', '/v1/chat', { message: 'hi', model: 'bank/counted' })
    expect(status).toBe(200)
    const figures = async () => (await fetch(`${system.httpUrl}/metrics`)).text()
    // Spans of workers come a little later than answers.
    await expect
      .poll(figures, { timeout: 20_000 })
      .toContain('agentos_model_tokens_total{model="bank/counted",kind="output"} 50')
    await system.workers['llm-router']!.kill()
    await expect.poll(figures, { timeout: 20_000 }).toMatch(/^agentos_workers\{state="down"\} [1-9]/m)
    const text = await figures()
    expect(text).toContain('agentos_model_tokens_total{model="bank/counted",kind="input"} 100')
    expect(text).toContain('agentos_model_cost_usd_total{model="bank/counted"} 0.0002')
    expect(text).toMatch(/^agentos_runs_ended_total\{outcome="done"\} [1-9]/m)
    expect(text).toMatch(/^agentos_queue_jobs \d/m)
    expect(text).toMatch(/^agentos_approvals_pending 0$/m)
    await provider.close()
  })
})
