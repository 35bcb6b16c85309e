import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type CutProxy, startCutProxy } from './cut-proxy.ts'

let server: Server
let proxy: CutProxy
let accepted: Promise<Socket>

beforeEach(async () => {
  server = createServer({ allowHalfOpen: false }, (socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (data) => socket.write(data))
  })
  accepted = once(server, 'connection').then(([socket]) => socket as Socket)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  proxy = await startCutProxy(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
})

afterEach(async () => {
  await proxy.close()
  server.close()
})

/** `once` of Node rejects on an error, which a reset is. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

async function dial(): Promise<Socket> {
  const socket = connect(proxy.port, '127.0.0.1')
  socket.on('error', () => undefined)
  socket.setEncoding('utf8')
  await once(socket, 'connect')
  return socket
}

async function echo(socket: Socket, text: string): Promise<string> {
  const answer = once(socket, 'data')
  socket.write(text)
  return (await answer)[0] as string
}

it('forwards both ways and names the address in the scheme of its target', async () => {
  expect(proxy.url).toBe(`ws://127.0.0.1:${proxy.port}`)
  const socket = await dial()
  expect(await echo(socket, 'hello')).toBe('hello')
  expect(proxy.connections).toBe(1)
})

it('cuts one side and leaves the other open until it is released', async () => {
  const socket = await dial()
  await echo(socket, 'x')
  const far = await accepted
  const cut = closed(socket)
  proxy.cut('client')
  await cut
  expect(far.readyState).toBe('open')
  const released = closed(far)
  proxy.release()
  await released
})

it('holds bytes back and gives them on, in order, when resumed', async () => {
  const socket = await dial()
  await echo(socket, 'x')
  const far = await accepted
  const arrived: string[] = []
  far.on('data', (data) => arrived.push(data.toString()))
  proxy.hold()
  socket.write('held')
  const beside = connect((server.address() as AddressInfo).port, '127.0.0.1')
  // A round trip past the proxy: time enough for the held bytes to have come, had they not been held.
  expect(await echo(beside.setEncoding('utf8'), 'direct')).toBe('direct')
  beside.destroy()
  expect(arrived).toEqual([])
  const answer = once(socket, 'data')
  proxy.resume()
  expect((await answer)[0]).toBe('held')
})

it('refuses new connections while told to', async () => {
  proxy.refuse(true)
  const socket = connect(proxy.port, '127.0.0.1')
  socket.on('error', () => undefined)
  await closed(socket)
  proxy.refuse(false)
  expect(await echo(await dial(), 'again')).toBe('again')
})
