import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { binding, descriptorOf, OWNER_TOKEN, rawRequest, startEdge, type TestEdge } from './edge.fixture.ts'

let system: TestEdge
afterEach(() => system.close())

/** Of an answer as it came over the socket. */
function bodyOf(answer: string): unknown {
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  expect(head).toContain('content-type: application/problem+json')
  return JSON.parse(body)
}

const descriptors = [descriptorOf([{ id: 'notes::wait', http: [binding('POST /v1/wait')] }])]

async function hanging(settings: object): Promise<{ release: () => void }> {
  system = await startEdge({ descriptors, settings })
  const notes = system.installed()
  const { promise, resolve } = Promise.withResolvers<string>()
  notes.serve('notes::wait', () => promise)
  return { release: () => resolve('done') }
}

describe('a request', () => {
  it('is refused with 413 before its body is read, and while it is read', async () => {
    system = await startEdge({ descriptors, settings: { bodyBytes: 1_000 } })
    const headers = { host: `127.0.0.1:${system.port}`, 'content-type': 'application/json' }
    const announced = await rawRequest(system.port, {
      method: 'POST',
      path: '/v1/wait',
      headers: { ...headers, 'content-length': '2000' },
      body: Buffer.alloc(2_000, 32),
    })
    expect(announced.status).toBe(413)
    const chunked = await rawRequest(system.port, {
      method: 'POST',
      path: '/v1/wait',
      headers: { ...headers, 'transfer-encoding': 'chunked' },
      body: Buffer.alloc(2_000, 32),
    })
    expect(JSON.parse(chunked.body)).toMatchObject({ code: 'payload_too_large' })
  })

  it('that asks first is refused before it sends its body', async () => {
    system = await startEdge({ descriptors, settings: { bodyBytes: 1_000 } })
    const socket = connect(system.port, '127.0.0.1')
    socket.write(
      `POST /v1/wait HTTP/1.1\r\nhost: 127.0.0.1:${system.port}\r\ncontent-type: application/json\r\ncontent-length: 5000\r\nexpect: 100-continue\r\n\r\n`,
    )
    const first = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())))
    expect(first).toContain('413')
    socket.destroy()
  })

  it('over the bound gets 503 and a time to wait', async () => {
    const { release } = await hanging({ concurrency: 2 })
    const waiting = [
      system.post('/v1/wait', {}, { token: OWNER_TOKEN }),
      system.post('/v1/wait', {}, { token: OWNER_TOKEN }),
    ]
    await expect.poll(() => system.core.calls.counts().inFlight).toBe(2)
    const refused = await system.post('/v1/wait', {}, { token: OWNER_TOKEN })
    expect(refused.status).toBe(503)
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(await refused.json()).toMatchObject({ code: 'overloaded', retryable: true })
    expect((await system.fetch('/health')).status).toBe(200)
    release()
    for (const response of await Promise.all(waiting)) expect(await response.json()).toBe('done')
    expect((await system.post('/v1/wait', {}, { token: OWNER_TOKEN })).status).toBe(200)
  })

  it('of a guest over the bound of all guests gets 503, a time to wait and the setting; the owner is served', async () => {
    system = await startEdge({ descriptors, settings: { concurrency: 2 }, guestLimits: { requests: 2 } })
    const { promise, resolve } = Promise.withResolvers<string>()
    system.installed().serve('notes::wait', () => promise)
    const guests = [1, 2].map(() => system.post('/v1/wait', {}))
    await expect.poll(() => system.core.calls.counts().inFlight).toBe(2)
    const refused = await system.post('/v1/wait', {})
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    const problem = (await refused.json()) as { code: string; detail: string }
    expect(problem).toMatchObject({ code: 'overloaded', retryable: true })
    expect(JSON.stringify(problem)).toContain('agentos.guests.limits.requests')
    const mine = [1, 2].map(() => system.post('/v1/wait', {}, { token: OWNER_TOKEN }))
    await expect.poll(() => system.core.calls.counts().inFlight).toBe(4)
    const metrics = await (await system.fetch('/metrics', { token: OWNER_TOKEN })).text()
    expect(metrics).toContain('agentos_guests_held{bound="requests"} 2')
    expect(metrics).toContain('agentos_guests_limit{bound="requests"} 2')
    resolve('done')
    for (const response of await Promise.all([...guests, ...mine])) expect(response.status).toBe(200)
    expect((await system.post('/v1/wait', {})).status).toBe(200)
  })

  it('finds a connection however many are open and idle: of those that no owner uses the oldest goes', async () => {
    system = await startEdge({ descriptors, guestLimits: { connections: 3 } })
    const owner = connect(system.port, '127.0.0.1')
    owner.write(
      `GET /v1/auth/me HTTP/1.1\r\nhost: 127.0.0.1:${system.port}\r\nauthorization: Bearer ${OWNER_TOKEN}\r\n\r\n`,
    )
    await once(owner, 'data')
    const idle = Array.from({ length: 3 }, () => connect(system.port, '127.0.0.1'))
    await Promise.all(idle.map((socket) => once(socket, 'connect')))
    const closed = once(idle[0]!, 'close')
    expect((await system.fetch('/v1/auth/me', { token: OWNER_TOKEN })).status).toBe(200)
    await closed
    expect(owner.destroyed).toBe(false)
    for (const socket of [owner, ...idle]) socket.destroy()
  })

  it('whose head or body does not come is cut off', async () => {
    system = await startEdge({ descriptors, settings: { headersTimeoutMs: 100, requestTimeoutMs: 200 } })
    const answers = await Promise.all(
      [
        `POST /v1/wait HTTP/1.1\r\nhost: 127.0.0.1:${system.port}\r\nx-slow: `,
        `POST /v1/wait HTTP/1.1\r\nhost: 127.0.0.1:${system.port}\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{`,
      ].map(
        (head) =>
          new Promise<string>((resolve) => {
            const socket = connect(system.port, '127.0.0.1', () => socket.write(head))
            let text = ''
            socket.on('data', (data) => {
              text += data.toString()
            })
            socket.on('close', () => resolve(text))
          }),
      ),
    )
    for (const answer of answers) {
      expect(answer).toContain('408')
      expect(bodyOf(answer)).toMatchObject({ status: 408, code: 'deadline_exceeded' })
    }
  })

  it('with too long a head gets 431, and hears what to do', async () => {
    system = await startEdge()
    const head = `GET /v1/wait HTTP/1.1\r\nhost: 127.0.0.1:${system.port}\r\nx-long: ${'x'.repeat(100_000)}\r\n\r\n`
    const socket = connect(system.port, '127.0.0.1', () => socket.write(head))
    const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())))
    expect(answer).toContain('HTTP/1.1 431 ')
    expect(bodyOf(answer)).toMatchObject({ status: 431, code: 'payload_too_large' })
    socket.destroy()
  })

  it('that is not HTTP gets 400', async () => {
    system = await startEdge()
    const socket = connect(system.port, '127.0.0.1', () => socket.write('hello\r\n\r\n'))
    const answer = await new Promise<string>((resolve) => socket.once('data', (data) => resolve(data.toString())))
    expect(answer).toContain('400 Bad Request')
    expect(bodyOf(answer)).toMatchObject({ status: 400, code: 'invalid_input' })
    socket.destroy()
  })

  it('whose caller leaves is cancelled, unless it carries an idempotency key', async () => {
    await hanging({ abandonedMs: 20 })
    const leave = async (headers: Record<string, string>): Promise<void> => {
      const before = system.core.calls.counts().inFlight
      const controller = new AbortController()
      const response = system.post('/v1/wait', {}, { headers, signal: controller.signal }).catch(() => undefined)
      await expect.poll(() => system.core.calls.counts().inFlight).toBe(before + 1)
      controller.abort()
      await response
    }
    await leave({ 'idempotency-key': 'k' })
    await leave({})
    await expect.poll(() => system.core.calls.counts().failed).toBe(1)
    expect(system.core.calls.counts().inFlight).toBe(1)
  })
})

describe('closing', () => {
  it('waits for what is in service, is not ready meanwhile, and takes no new work', async () => {
    const { release } = await hanging({})
    const waiting = system.post('/v1/wait', {})
    await expect.poll(() => system.core.calls.counts().inFlight).toBe(1)
    const closed = system.edge.close(30_000)
    const ready = await system.fetch('/ready')
    expect(ready.status).toBe(503)
    expect(await ready.json()).toMatchObject({ status: 'draining' })
    expect(await (await system.post('/v1/wait', {})).json()).toMatchObject({ code: 'shutting_down' })
    release()
    expect(await (await waiting).json()).toBe('done')
    await closed
    await expect(system.fetch('/health')).rejects.toThrow()
  })

  it('ends what is still in service after its time', async () => {
    await hanging({})
    const waiting = system.post('/v1/wait', {}).catch(() => 'cut off')
    await expect.poll(() => system.core.calls.counts().inFlight).toBe(1)
    await system.edge.close(20)
    expect(await waiting).toBe('cut off')
  })

  it('lets a port go; a taken one is told with its error', async () => {
    system = await startEdge()
    await expect(startEdge({ settings: { port: system.port } })).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await system.close()
    const again = await startEdge({ settings: { port: system.port } })
    expect(again.port).toBe(system.port)
    await again.close()
  })
})

it('calls any function by its id, with a time of its own', async () => {
  const { release } = await hanging({})
  const post = (body: object) => system.post('/v1/functions/call', body, { token: OWNER_TOKEN })
  const late = await post({ functionId: 'notes::wait', payload: {}, timeoutMs: 30 })
  expect(late.status).toBe(504)
  expect(await late.json()).toMatchObject({ code: 'deadline_exceeded' })
  release()
  expect(await (await post({ functionId: 'notes::wait' })).json()).toBe('done')
  expect((await post({})).status).toBe(400)
  expect((await post({ functionId: 'notes::wait', timeoutMs: 'soon' })).status).toBe(400)
  expect(await (await post({ functionId: 'none' })).json()).toMatchObject({ code: 'function_not_found', status: 404 })
})
