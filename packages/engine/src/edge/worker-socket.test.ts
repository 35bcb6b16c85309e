import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { WebSocket } from 'ws'
import { startCore } from '../../test/peers.ts'
import type { Grant } from '../core/connection.ts'
import { DEFAULT_REALM, GUEST_REALM } from '../core/context.ts'
import type { GuestLimits } from '../core/guest-share.ts'
import { type Entered, enterRealm, GUESTS_ARE_OFF } from './identity.ts'
import { GUEST } from './tokens.ts'
import { WorkerSocketServer } from './worker-socket.ts'

type Frame = Record<string, unknown> & { type: string; invocation_id: string }

const MIB = 1024 * 1024
const PIECE = 'x'.repeat(100_000)
const WAIT = { timeout: 30_000, interval: 5 }

const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const run of cleanUps.splice(0).reverse()) await run()
})

/** The port of an engine whose clock stands still, so that nobody is ever silent for too long. */
async function listening(
  bufferedBytes = 4 * MIB,
  identify: (request: IncomingMessage) => Entered<Grant> = () => ({ ok: true, identity: GUEST }),
  guestLimits: Partial<GuestLimits> = {},
) {
  const { core, warnings } = startCore({ limits: { bufferedBytes }, guestLimits })
  const server = new WorkerSocketServer({
    core,
    channels: { check: () => 404, attach: () => undefined, isOfGuests: () => false },
    host: '127.0.0.1',
    port: 0,
    identify,
    welcome: () => true,
    ingest: () => undefined,
  })
  const port = await server.listen()
  cleanUps.push(() => server.close())
  return { core, warnings, port, connect: () => connected(port) }
}

/** A client after its greeting. */
async function connected(port: number, headers: Record<string, string> = {}) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false, headers })
  cleanUps.push(() => socket.terminate())
  const frames: Frame[] = []
  let serve: ((frame: Frame) => void) | undefined
  socket.on('message', (data) => {
    const frame = JSON.parse(String(data)) as Frame
    frames.push(frame)
    if (frame.type === 'invokefunction') serve?.(frame)
  })
  socket.on('error', () => undefined)
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
  })
  await vi.waitFor(() => expect(frames[0]?.type).toBe('workerregistered'), WAIT)
  const send = (frame: object) => socket.send(JSON.stringify(frame))
  return {
    socket,
    frames,
    closed,
    send,
    results: () => frames.filter(({ type }) => type === 'invocationresult'),
    call: (function_id: string) =>
      send({ type: 'invokefunction', invocation_id: crypto.randomUUID(), function_id, data: {} }),
    serve(id: string, result: unknown) {
      serve = ({ invocation_id }) => send({ type: 'invocationresult', invocation_id, function_id: id, result })
      send({ type: 'registerfunction', id })
    },
  }
}

describe('the sockets of guests', () => {
  const owner = { principal: { kind: 'owner', id: 'owner' }, realm: DEFAULT_REALM } as const
  const identify = ({ headers }: IncomingMessage): Entered<Grant> => ({
    ok: true,
    identity: headers.authorization ? owner : GUEST,
  })

  it('are so many; one more hears so, and the owner connects beside them', async () => {
    const { port, core } = await listening(4 * MIB, identify, { connections: 2 })
    const [first] = [await connected(port), await connected(port)]
    const refused = new WebSocket(`ws://127.0.0.1:${port}`)
    cleanUps.push(() => refused.terminate())
    const [[said], [code, reason]] = await Promise.all([once(refused, 'message'), once(refused, 'close')])
    expect(JSON.parse(String(said))).toMatchObject({
      type: 'error',
      error: { code: 'overloaded', message: expect.stringContaining('agentos.guests.limits.connections') },
    })
    expect([code, String(reason)]).toEqual([1013, expect.stringContaining('overloaded: ')])
    for (let n = 0; n < 3; n += 1) await connected(port, { authorization: 'owner' })
    first!.socket.close()
    await vi.waitFor(() => expect(core.guestShare.heldOf('connections')).toBe(1), WAIT)
    await connected(port)
  })

  it('that say nothing keep nobody out: the oldest go', async () => {
    const { port } = await listening(4 * MIB, identify, { connections: 3 })
    const silent = Array.from({ length: 3 }, () => connect(port, '127.0.0.1'))
    await Promise.all(silent.map((socket) => once(socket, 'connect')))
    const closed = once(silent[0]!, 'close')
    cleanUps.push(() => silent.forEach((socket) => void socket.destroy()))
    await connected(port, { authorization: 'owner' })
    await closed
    expect(silent.slice(1).every((socket) => !socket.destroyed)).toBe(true)
  })
})

describe('a client that is refused', () => {
  it('is told that the realm which it names is empty', () => {
    const owner = { principal: { kind: 'owner', id: 'owner' }, realm: 'default' } as const
    expect(enterRealm(owner, '')).toMatchObject({ ok: false, message: expect.stringContaining('is empty') })
    expect(enterRealm(owner, ' a b')).toMatchObject({ ok: false, message: expect.stringContaining('not the id') })
  })

  it('hears why in a frame and in the end of its connection, and the log has it', async () => {
    // Longer than the reason of a close frame may be.
    const message = GUESTS_ARE_OFF
    const { warnings, port } = await listening(4 * MIB, () => ({ ok: false, code: 'invalid_input', message }))
    const socket = new WebSocket(`ws://127.0.0.1:${port}`)
    const first = once(socket, 'message')
    const closed = once(socket, 'close')
    expect(JSON.parse(String((await first)[0]))).toMatchObject({ error: { code: 'AUTH_ERROR', message } })
    const [code, reason] = await closed
    expect([code, String(reason)]).toEqual([1008, message.slice(0, 123)])
    expect(warnings).toContain('A client was refused')
  })

  it('fills no log, however often it comes and whatever telemetry it sends', { timeout: 60_000 }, async () => {
    const { core, port, warnings, connect } = await listening()
    const { socket, call, results } = await connect()
    for (let n = 0; n < 2_000; n += 1) socket.send(Buffer.from('OTLP{not json'))
    call('no::such')
    await vi.waitFor(() => expect(results()).toHaveLength(1), WAIT)
    expect(warnings.length).toBeGreaterThan(10)
    expect(warnings.length).toBeLessThan(1_000)
    const refused = await listening(4 * MIB, () => ({ ok: false, code: 'forbidden', message: 'no' }))
    const told = vi.spyOn(refused.core.guestLog, 'warn')
    const client = new WebSocket(`ws://127.0.0.1:${refused.port}`)
    await once(client, 'close')
    expect(told).toHaveBeenCalledOnce()
    expect([core.connections.size, port > 0]).toEqual([1, true])
  })
})

describe('a client that reads slowly', () => {
  it('is let go past the limit, and hears why behind whole results once it reads on', { timeout: 60_000 }, async () => {
    const { core, warnings, connect } = await listening()
    const worker = await connect()
    worker.serve('large', PIECE)
    const slow = await connect()
    slow.serve('of::slow', null)
    await vi.waitFor(() => expect(core.registry.registrations('of::slow', GUEST_REALM)).toHaveLength(1), WAIT)
    slow.socket.pause()
    for (let n = 0; n < 600; n += 1) slow.call('large')
    await vi.waitFor(() => expect(core.connections.size).toBe(1), WAIT)
    // Gone at once, not only when it has read that it is.
    expect(core.registry.registrations('of::slow', GUEST_REALM)).toEqual([])
    expect(warnings).toContain('A peer that does not read is let go')
    const other = await connect()
    other.call('large')
    await vi.waitFor(() => expect(other.results()).toHaveLength(1), WAIT)
    slow.socket.resume()
    expect(await slow.closed).toEqual({ code: 1013, reason: expect.stringMatching(/^overloaded: .*read as it comes/) })
    const read = slow.results()
    expect(read.length).toBeGreaterThan(0)
    expect(read.length).toBeLessThan(600)
    expect(read.every(({ result }) => result === PIECE)).toBe(true)
  })

  it('is served like any other while what waits is under the limit', { timeout: 60_000 }, async () => {
    const { connect } = await listening(32 * MIB)
    const worker = await connect()
    worker.serve('huge', 'x'.repeat(1_000_000))
    const slow = await connect()
    slow.socket.pause()
    for (let n = 0; n < 32; n += 1) slow.call('huge')
    await vi.waitFor(() => expect(worker.frames.filter(({ type }) => type === 'invokefunction')).toHaveLength(32), WAIT)
    slow.socket.resume()
    await vi.waitFor(() => expect(slow.results()).toHaveLength(32), WAIT)
    expect(slow.socket.readyState).toBe(WebSocket.OPEN)
  })
})

describe('a client that sends much', () => {
  it('takes no more than its turn of the event loop', { timeout: 60_000 }, async () => {
    const owner = { ...GUEST, principal: { kind: 'owner' as const, id: 'owner' }, realm: DEFAULT_REALM }
    const { core, connect } = await listening(4 * MIB, () => ({ ok: true, identity: owner }))
    let turn = 0
    let most = 0
    const receive = core.receive.bind(core)
    vi.spyOn(core, 'receive').mockImplementation((connection, bytes) => {
      turn += bytes.length
      most = Math.max(most, turn)
      receive(connection, bytes)
    })
    let next = setImmediate(function begin() {
      turn = 0
      next = setImmediate(begin)
    })
    cleanUps.push(() => clearImmediate(next))
    const client = await connect()
    const filling = 'x'.repeat(20_000)
    for (let n = 0; n < 1_500; n += 1) client.send({ type: 'ping', filling })
    await vi.waitFor(() => expect(client.frames.filter(({ type }) => type === 'pong')).toHaveLength(1_500), WAIT)
    // Its share, and what has been read with the message that exceeds it.
    expect(most).toBeGreaterThan(20_000)
    expect(most).toBeLessThan(512 * 1024)
  })
})

describe('a message in parts', () => {
  /** Sends a ping of the protocol in so many parts, most of them spaces. */
  function sendParts(socket: WebSocket, parts: number, size: number): void {
    const filling = Buffer.alloc(size, ' ')
    socket.send('{"type":"ping"', { fin: false })
    for (let n = 0; n < parts - 2; n += 1) socket.send(filling, { binary: false, fin: false })
    socket.send('}', { fin: true })
  }

  it('of 4 kB each is taken up to the limit of a frame', async () => {
    const { core, connect } = await listening()
    const client = await connect()
    sendParts(client.socket, Math.floor(core.limits.frameBytes / 4_096), 4_096)
    await vi.waitFor(() => expect(client.frames.at(-1)).toEqual({ type: 'pong' }), WAIT)
  })

  it.each([
    ['that are too many', 8_200, 1, 1008],
    ['that are too much', 259, 64 * 1024, 1009],
  ])('%s ends its connection, and nobody else’s', async (_, parts, size, code) => {
    const { core, connect } = await listening()
    const [client, other] = [await connect(), await connect()]
    sendParts(client.socket, parts, size)
    expect((await client.closed).code).toBe(code)
    await vi.waitFor(() => expect(core.connections.size).toBe(1), WAIT)
    other.send({ type: 'ping' })
    await once(other.socket, 'message')
    expect(other.frames.at(-1)).toEqual({ type: 'pong' })
  })
})
