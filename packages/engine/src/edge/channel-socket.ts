import type { RawData, WebSocket } from 'ws'
import type { Channel } from './channel.ts'

/** Messages handed to a reader's socket and not yet written: enough to keep it busy, few enough to push back. */
const SEND_WINDOW = 16

/** What `ws` says of a socket that ended without a word (RFC 6455, 7.1.5). */
const NO_CLOSE_FRAME = 1006

/** Connects a writer's socket. While the channel is full the socket is not read, so that TCP pushes back. */
export function attachWriter(socket: WebSocket, channel: Channel): void {
  let paused = false
  socket.on('message', (data: RawData, isBinary: boolean) => {
    if (channel.aborted || channel.ended) {
      socket.close(1000, 'channel_close')
      return
    }
    channel.push({ data: asBuffer(data), binary: isBinary })
    if (!channel.full || paused) return
    paused = true
    socket.pause()
    channel.onDrain(() => {
      paused = false
      socket.resume()
    })
  })
  socket.on('close', (code) => channel.writerLeft(code === NO_CLOSE_FRAME))
}

/** Connects a reader's socket; it is closed after the last item was written to it. */
export function attachReader(socket: WebSocket, channel: Channel): void {
  let sending = 0
  const sent = (): void => {
    sending -= 1
    pump()
  }
  const pump = (): void => {
    while (sending < SEND_WINDOW) {
      const item = channel.shift()
      if (!item) break
      sending += 1
      socket.send(item.data, { binary: item.binary }, sent)
    }
    if (channel.drained && sending === 0) socket.close(1000, 'stream_complete')
  }
  channel.onReadable(pump)
  socket.on('close', () => channel.abort())
  pump()
}

function asBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data)
}
