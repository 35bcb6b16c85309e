import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type System, startEngine } from '@agentos/testing'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'

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

const names = async (traceId: string): Promise<string[]> => {
  const { body } = await system.api<{ roots: { name: string; service_name: string }[] }>(
    'GET',
    `/v1/traces/${traceId}`,
    undefined,
    { owner: true },
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
    await expect.poll(() => names(traceId)).toEqual(['step of a client'])
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
    await expect.poll(() => names(traceId)).toEqual(['real'])
    owner.terminate()
  })
})
