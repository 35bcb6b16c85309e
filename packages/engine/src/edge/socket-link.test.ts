import { once } from 'node:events'
import type { AddressInfo, Socket } from 'node:net'
import { Spliced } from '@agentos/protocol'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { SocketLink } from './socket-link.ts'

const MIB = 1024 * 1024
/** More than the kernel keeps between two sockets of one machine, however it is set. */
const MUCH = 48 * MIB
const WAIT = { timeout: 20_000, interval: 5 }

const cleanUps: (() => void)[] = []
afterEach(() => {
  for (const run of cleanUps.splice(0)) run()
})

/** A link over a real socket, and its client, which does not read until it is told to. */
async function linked() {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false })
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[WebSocket]>
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    perMessageDeflate: false,
    maxPayload: 2 * MUCH,
  })
  const received: string[] = []
  client.on('message', (data) => received.push(String(data)))
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    client.on('close', (code, reason) => resolve({ code, reason: String(reason) }))
  })
  await once(client, 'open')
  client.pause()
  const [ws] = await accepted
  cleanUps.push(() => {
    client.terminate()
    ws.terminate()
    server.close()
  })
  const socket = (ws as unknown as { _socket: Socket })._socket
  return { link: new SocketLink(ws), ws, socket, client, received, closed }
}

/** Message number `index` of this size: its number, then filling. */
function message(index: number, size: number): string {
  return `${index}:`.padEnd(size, 'x')
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** Sends so many messages, with turns of the event loop in between. */
async function sendAll(link: SocketLink, count: number, size: (index: number) => number, urgent = true) {
  for (let index = 0; index < count; index += 1) {
    link.send(message(index, size(index)), urgent)
    if (index % 10 === 0) await turn()
  }
}

const numbers = (received: string[]) => received.map((text) => Number.parseInt(text, 10))
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)

describe('the link of a worker’s socket', () => {
  it.each([
    ['large', true, (MUCH / (100 * 1024)) | 0, () => 100 * 1024],
    ['small', true, 60_000, () => 800],
    ['small and not urgent', false, 60_000, () => 800],
    ['of every size', true, 1_000, (index: number) => 10 + ((index * 7_919) % 120_000)],
  ])('keeps the order of frames that wait: %s', { timeout: 60_000 }, async (_, urgent, count, size) => {
    const { link, client, received } = await linked()
    await sendAll(link, count, size, urgent)
    const total = upTo(count).reduce((sum, index) => sum + size(index), 0)
    await vi.waitFor(() => expect(link.buffered()).toBeLessThan(total), WAIT)
    expect(link.buffered()).toBeGreaterThan(4 * MIB)
    client.resume()
    await vi.waitFor(() => expect(received).toHaveLength(count), WAIT)
    expect(numbers(received)).toEqual(upTo(count))
    expect(received.every((text, index) => text === message(index, size(index)))).toBe(true)
    expect(link.buffered()).toBe(0)
  })

  it('gives the socket no more than it takes, and lets frames of others through between whole ones', async () => {
    const { link, ws, socket, client, received } = await linked()
    const pings: number[] = []
    client.on('ping', () => pings.push(received.length))
    await sendAll(link, 400, () => 100 * 1024)
    await vi.waitFor(() => expect(socket.writableLength).toBeGreaterThan(0), WAIT)
    expect(socket.writableLength).toBeLessThan(2 * MIB)
    ws.ping()
    client.resume()
    await vi.waitFor(() => expect(received).toHaveLength(400), WAIT)
    expect(numbers(received)).toEqual(upTo(400))
    expect(pings).toHaveLength(1)
    expect(pings[0]).toBeLessThan(400)
  })

  it('that is aborted throws away what waits, and says why behind whole frames', async () => {
    const { link, socket, client, received, closed } = await linked()
    await sendAll(link, 400, () => 100 * 1024)
    link.abort(1013, 'not read')
    expect(link.buffered()).toBeLessThan(2 * MIB)
    expect(link.buffered()).toBe(socket.writableLength)
    // What comes too late is not sent.
    link.send(message(400, 10))
    client.resume()
    expect(await closed).toEqual({ code: 1013, reason: 'not read' })
    expect(received.length).toBeGreaterThan(0)
    expect(received.length).toBeLessThan(400)
    expect(received).toEqual(upTo(received.length).map((index) => message(index, 100 * 1024)))
  })

  it('that is closed sends what waits first', async () => {
    const { link, client, received, closed } = await linked()
    await sendAll(link, 200, () => 100 * 1024)
    link.send('the last')
    link.close(1012, 'serve again')
    client.resume()
    expect(await closed).toEqual({ code: 1012, reason: 'serve again' })
    expect(received).toEqual([...upTo(200).map((index) => message(index, 100 * 1024)), 'the last'])
  })

  it('of a peer that is gone holds nothing', async () => {
    const { link, ws, client } = await linked()
    await sendAll(link, 400, () => 100 * 1024)
    expect(link.buffered()).toBeGreaterThan(MIB)
    client.terminate()
    await once(ws, 'close')
    link.send('too late')
    expect(link.buffered()).toBe(0)
  })

  it('keeps nothing of what a waiting payload came with', async () => {
    const { link, client, received } = await linked()
    await sendAll(link, 400, () => 100 * 1024)
    const read = Buffer.alloc(64 * 1024, 'y')
    const json = read.subarray(0, 10 * 1024)
    for (let count = 0; count < 8; count += 1) link.send(new Spliced('{"data":"', json, '"}'))
    link.send(message(408, 100 * 1024))
    await turn()
    // Another reader of the socket's memory may write over it now.
    read.fill('z')
    client.resume()
    await vi.waitFor(() => expect(received).toHaveLength(409), WAIT)
    expect(received.slice(400, 408)).toEqual(Array.from({ length: 8 }, () => `{"data":"${'y'.repeat(10 * 1024)}"}`))
  })
})
