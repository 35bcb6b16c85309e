import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { serveParent } from './peer.ts'

/**
 * The bare relay: reads each frame, looks up where it goes, and forwards the bytes as they are. It keeps no context,
 * checks nothing, records nothing: two hops over `ws` cannot cost much less.
 */
const workers = new Map<string, WebSocket>()
const callers = new Map<string, WebSocket>()

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 64 * 2 ** 20 })
server.on('connection', (socket) => {
  socket.on('message', (data: Buffer) => {
    const frame = JSON.parse(data.toString()) as {
      type: string
      id: string
      function_id: string
      invocation_id: string
    }
    if (frame.type === 'registerfunction') {
      workers.set(frame.id, socket)
    } else if (frame.type === 'invokefunction') {
      callers.set(frame.invocation_id, socket)
      workers.get(frame.function_id)?.send(data, { binary: false })
    } else if (frame.type === 'invocationresult') {
      callers.get(frame.invocation_id)?.send(data, { binary: false })
      callers.delete(frame.invocation_id)
    }
  })
})
server.on('listening', () => serveParent(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`))
