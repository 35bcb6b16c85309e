import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { type IIIClient, InvocationError } from '@agentos/sdk'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import * as z from 'zod'
import { ALL_WORKERS, NO_LOCAL_MODELS } from './support/all-workers.ts'

interface Described {
  id: string
  worker: string
  request_format: Schema | null
}

type Schema = Parameters<typeof z.fromJSONSchema>[0] & { properties?: Record<string, unknown> }

let system: System
let functions: Described[]
let pids: Record<string, number>

beforeAll(async () => {
  system = await startSystem({ workers: ALL_WORKERS, env: NO_LOCAL_MODELS })
  const { body } = await system.api<{ functions: Described[] }>('GET', '/v1/engine/functions', undefined, {
    owner: true,
  })
  functions = body.functions
  pids = processes()
})
afterAll(() => system?.stop())

function processes(): Record<string, number> {
  const all = { engine: system.engine, ...system.workers }
  return Object.fromEntries(Object.entries(all).map(([name, child]) => [name, child.running ? child.pid : 0]))
}

/** What nobody asks for: each type where another may be wanted, and objects that misbehave when they are printed. */
const ODD: unknown[] = [
  12.5,
  -1,
  'x',
  '',
  true,
  null,
  [],
  [[]],
  {},
  { toString: 1, valueOf: 1 },
  JSON.parse('{"__proto__": {"a": 1}, "constructor": 1}'),
]

/** Inputs that violate the schema of a function: other types, and each field with a value that it does not take. */
function violations(schema: Schema): unknown[] {
  const whole = z.fromJSONSchema(schema)
  const fields = Object.keys(schema.properties ?? {})
  const inputs = [...ODD, ...fields.flatMap((name) => ODD.map((value) => ({ [name]: value })))]
  return inputs.filter((input) => input !== null && !whole.safeParse(input).success)
}

async function codeOf(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call
    return undefined
  } catch (error) {
    return error instanceof InvocationError ? error.code : String(error)
  }
}

const REFUSALS = ['invalid_input', 'deserialization_error']

describe('input that violates the schema', () => {
  it('is there to be tried for nearly every function', () => {
    const schemas = functions.flatMap(({ request_format: schema }) => (schema ? [schema] : []))
    expect(schemas.length).toBeGreaterThan(70)
    expect(schemas.filter((schema) => violations(schema).length > 0).length).toBeGreaterThan(60)
  })

  it('is refused by every function of a worker with invalid_input, over the bus', { timeout: 120_000 }, async () => {
    const client = system.client({ owner: true })
    const wrong: string[] = []
    for (const { id, worker, request_format: schema } of functions) {
      if (worker === 'engine' || !schema) continue
      await Promise.all(
        violations(schema).map(async (payload) => {
          const code = await codeOf(client.trigger({ function_id: id, payload }))
          if (code !== 'invalid_input') wrong.push(`${id} ${JSON.stringify(payload)}: ${code}`)
        }),
      )
    }
    expect(wrong).toEqual([])
  })

  it('never makes a function of the engine fail inside', { timeout: 120_000 }, async () => {
    const client = system.client({ owner: true })
    const wrong: string[] = []
    for (const { id, worker, request_format: schema } of functions) {
      if (worker !== 'engine') continue
      const fields = Object.keys(schema?.properties ?? {})
      const inputs = [...ODD, ...fields.flatMap((name) => ODD.map((value) => ({ [name]: value })))]
      await Promise.all(
        inputs.map(async (payload) => {
          const code = await codeOf(client.trigger({ function_id: id, payload, timeoutMs: 30_000 }))
          if (code === 'internal' || code === 'TIMEOUT' || code === 'UNKNOWN') {
            wrong.push(`${id} ${JSON.stringify(payload)}: ${code}`)
          }
        }),
      )
    }
    expect(wrong).toEqual([])
  })

  it('is a problem with status 400 over HTTP, which names the field', async () => {
    for (const [method, path, body] of [
      ['POST', '/v1/functions/call', { functionId: 'memory::search', payload: { query: 7 } }],
      ['POST', '/v1/chat', { message: 7 }],
      ['POST', '/v1/realms', { name: ['a'] }],
      ['GET', '/v1/memory/search?query=x&limit=many', undefined],
      ['GET', '/v1/traces?limit=-3', undefined],
    ] as const) {
      const reply = await system.api<{ code: string; detail: string }>(method, path, body, { owner: true })
      expect([path, reply.status]).toEqual([path, 400])
      expect(REFUSALS, path).toContain(reply.body.code)
      expect(reply.headers.get('content-type')).toBe('application/problem+json')
      expect(reply.body.detail, path).toMatch(/query|message|name|limit/)
    }
  })

  it('has cost no process its life', () => {
    expect(processes()).toEqual(pids)
    expect(Object.values(pids).every((pid) => pid > 0)).toBe(true)
  })
})

/** Numbers that look random and are the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

async function open(): Promise<WebSocket> {
  const socket = new WebSocket(system.wsUrl)
  socket.on('error', () => {})
  await once(socket, 'message')
  return socket
}

/** Sends frames and resolves when the engine has read them all, or has ended the connection. */
async function send(frames: Iterable<string | Buffer>): Promise<void> {
  const socket = await open()
  for (const frame of frames) socket.send(frame)
  const answered = new Promise<void>((resolve) => {
    socket.on('message', (data) => String(data).includes('"pong"') && resolve())
    socket.on('close', () => resolve())
  })
  socket.send('{"type":"ping"}')
  await answered
  socket.terminate()
}

function frame(fields: object): string {
  return JSON.stringify({ type: 'invokefunction', invocation_id: randomUUID(), function_id: 'state::get', ...fields })
}

const GOOD = frame({ data: { scope: 's', key: 'k' } })

describe('frames that no client would send', () => {
  const random = seeded(7)
  const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => random() * 256))
  const changed = (): Buffer => {
    const copy = Buffer.from(GOOD)
    copy[Math.floor(random() * copy.length)] = random() * 256
    return copy
  }
  const types = ['registerfunction', 'registertrigger', 'registertriggertype', 'invocationresult', 'reattach', 'nobody']

  const cases: [string, () => Iterable<string | Buffer>][] = [
    ['random bytes', () => Array.from({ length: 2_000 }, () => bytes(1 + Math.floor(random() * 200)))],
    ['JSON that is cut off at every place', () => Array.from(GOOD, (_, at) => GOOD.slice(0, at))],
    ['frames with one byte changed', () => Array.from({ length: 2_000 }, changed)],
    ['two keys of one name', () => [GOOD.replace('{', '{"function_id":"engine::traces::clear",')]],
    [
      'nesting without end',
      () => [100, 10_000, 1_000_000].flatMap((depth) => ['['.repeat(depth), `{"data":${'['.repeat(depth)}`]),
    ],
    [
      'nesting without end in a payload',
      () => [`${GOOD.slice(0, -1)},"x":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}}`],
    ],
    [
      'a prototype in envelope and payload',
      () => [
        `{"__proto__":{"type":"invokefunction"},${GOOD.slice(1)}`,
        GOOD.replace('"scope":"s"', '"__proto__":{"scope":"auth"},"constructor":{"prototype":1}'),
      ],
    ],
    [
      'ids of megabytes',
      () => [
        frame({ function_id: 'f'.repeat(5_000_000) }),
        frame({ invocation_id: 'i'.repeat(5_000_000) }),
        JSON.stringify({ type: 'registerfunction', id: 'f'.repeat(5_000_000) }),
      ],
    ],
    [
      'fields of every wrong type',
      () =>
        types.flatMap((type) =>
          ODD.map((odd) => JSON.stringify({ type, id: odd, function_id: odd, invocation_id: odd, error: odd })),
        ),
    ],
    [
      'results and parents that nobody gave it',
      () => [
        JSON.stringify({ type: 'invocationresult', invocation_id: randomUUID(), result: 'mine' }),
        frame({ parent: randomUUID() }),
        JSON.stringify({ type: 'reattach', previous_worker_id: randomUUID(), reattach_token: randomUUID() }),
        JSON.stringify({ type: 'cancelinvocation', invocation_id: randomUUID() }),
      ],
    ],
    ['binary frames', () => [bytes(1_000), Buffer.from('OTLP{"resourceSpans":[{"scopeSpans":7}]}'), Buffer.alloc(0)]],
    ['a frame over the limit', () => [Buffer.alloc(17 * 1024 * 1024, 'x')]],
  ]

  it.each(cases)('%s leave the engine and its other clients alone', async (_name, frames) => {
    const other = system.client()
    await send(frames())
    await expect(
      other.trigger({ function_id: 'state::get', payload: { scope: 's', key: 'k' } }),
    ).resolves.toBeUndefined()
    expect(processes()).toEqual(pids)
  })

  it('10,000 registrations are bounded, and gone with their connection', { timeout: 120_000 }, async () => {
    const before = memoryMb()
    const schema = { type: 'object', properties: { text: { type: 'string', description: 'd'.repeat(500) } } }
    const registrations = Array.from({ length: 10_000 }, (_, n) =>
      JSON.stringify({ type: 'registerfunction', id: `flood::f${n}`, request_format: schema }),
    )
    const socket = await open()
    for (const text of registrations) socket.send(text)
    socket.send('{"type":"ping"}')
    await once(socket, 'message')
    const count = async (): Promise<number> =>
      (await list(system.client())).filter((id) => id.startsWith('flood::')).length
    expect(await count()).toBe(2_000)
    socket.terminate()
    await expect.poll(count).toBe(0)
    expect(memoryMb() - before).toBeLessThan(300)
    expect(processes()).toEqual(pids)
  })
})

async function list(client: IIIClient): Promise<string[]> {
  const payload = { prefix: 'flood::' }
  const { functions: rows } = await client.trigger<{ functions: { function_id: string }[] }>({
    function_id: 'engine::functions::list',
    payload,
  })
  return rows.map((row) => row.function_id)
}

/** Resident memory of the engine, where the system tells (Linux); elsewhere 0. */
function memoryMb(): number {
  try {
    const kb = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${system.engine.pid}/status`, 'utf8'))?.[1]
    return Number(kb ?? 0) / 1024
  } catch {
    return 0
  }
}

describe('requests to the workers’ port that no client would make', () => {
  const upgrade = (path: string, headers = ''): string =>
    `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`

  it.each([
    ['a broken escape in a channel’s id', upgrade('/ws/channels/%zz?key=1&dir=read')],
    ['a broken escape elsewhere', upgrade('/%')],
    ['a path of slashes', upgrade('//')],
    ['half an address', upgrade('http://[')],
    ['an asterisk', upgrade('*')],
    ['a channel that is not there', upgrade(`/ws/channels/${randomUUID()}?key=x&dir=write`)],
    ['another Host', upgrade('/').replace('127.0.0.1', 'evil.example')],
    ['another Origin', upgrade('/', 'Origin: http://evil.example\r\n')],
    ['no WebSocket', 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
    ['no HTTP', '\u0016\u0003\u0001\u0000\u0000'],
  ])('%s is refused and nothing else', async (_name, request) => {
    expect(await raw(request)).toMatch(/^HTTP\/1\.1 4\d\d /)
    expect(processes()).toEqual(pids)
  })

  it('who sends a frame over the limit can read why the connection ends, though it goes on sending', async () => {
    const head = Buffer.alloc(14)
    head[0] = 0x81
    head[1] = 0x80 | 127
    head.writeBigUInt64BE(2n ** 40n, 2)
    const frame = Buffer.concat([head, Buffer.alloc(4 * 1024 * 1024)])
    for (let n = 0; n < 10; n += 1) expect(await closeCodeAfter(upgrade('/'), frame)).toBe(1009)
    expect(processes()).toEqual(pids)
  })

  it('a client that resets its connection in the middle of a refusal ends nothing', async () => {
    for (let n = 0; n < 50; n += 1) {
      const socket = connect(Number(new URL(system.wsUrl).port), '127.0.0.1')
      socket.on('error', () => {})
      await once(socket, 'connect')
      socket.write(upgrade('/', 'Origin: http://evil.example\r\n'))
      if (n % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
      socket.resetAndDestroy()
    }
    expect((await system.api('GET', '/health')).status).toBe(200)
    expect(processes()).toEqual(pids)
  })
})

/** Code of the close frame, read only after everything was written; 0 where none has come. */
async function closeCodeAfter(handshake: string, frame: Buffer): Promise<number> {
  const socket = connect(Number(new URL(system.wsUrl).port), '127.0.0.1')
  let received = Buffer.alloc(0)
  socket.on('error', () => {})
  socket.on('data', (data: Buffer) => {
    received = Buffer.concat([received, data])
  })
  socket.write(handshake)
  await expect.poll(() => received.includes('workerregistered')).toBe(true)
  received = Buffer.alloc(0)
  const closed = once(socket, 'close')
  socket.pause()
  await new Promise((resolve) => socket.write(frame, resolve))
  socket.resume()
  await closed
  const at = received.indexOf(0x88)
  return at < 0 ? 0 : received.readUInt16BE(at + 2)
}

/** Everything that comes back until the other side closes, or nothing more comes. */
function raw(request: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(system.wsUrl).port), '127.0.0.1', () => socket.write(request))
    let text = ''
    socket.on('data', (part) => {
      text += part.toString('latin1')
      if (text.includes('\r\n\r\n')) socket.end()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}
