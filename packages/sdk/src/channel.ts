import { Readable, Writable } from 'node:stream'
import type { ChannelRef } from '@agentos/protocol'
import type { RawData } from 'ws'
import { attach, type ChannelSocket } from './channel-socket.ts'
import { AgentError } from './errors.ts'

/** Bytes of one binary frame. */
const CHUNK = 64 * 1024
/** Text messages that wait for a slow consumer before the socket is paused. */
const QUEUED_MESSAGES = 64

/**
 * The writing end of a channel: bytes through `stream`, text messages beside them. It attaches at the first write; an
 * end that never wrote anything was never attached, and closing it does nothing.
 */
export class ChannelWriter {
  readonly ref: ChannelRef
  readonly stream: Writable
  private readonly address: string
  private attached: Promise<ChannelSocket> | undefined
  private over = false

  constructor(address: string, ref: ChannelRef) {
    this.address = address
    this.ref = ref
    this.stream = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.writeChunks(chunk).then(() => done(), done)
      },
      final: (done) => {
        this.connect()
          .then(({ socket }) => this.end(socket, 'stream_complete'))
          .then(() => done(), done)
      },
      destroy: (error, done) => {
        this.over = true
        this.attached?.then(({ socket }) => socket.close(1000, 'channel_close')).catch(ignore)
        done(error)
      },
    })
    // Without a listener an error would end the process; whoever awaits a write hears of it anyway.
    this.stream.on('error', ignore)
  }

  /**
   * Sends a text message, in order with other messages. Resolves when it is handed to the kernel, which is how a slow
   * reader slows the writer; rejects with `cancelled` when the reader is gone. Need not be awaited.
   */
  sendMessage(text: string): Promise<void> {
    const sent = this.transmit(text)
    sent.catch(ignore)
    return sent
  }

  /** Sends a value as one JSON text message. */
  send(frame: object): Promise<void> {
    return this.sendMessage(JSON.stringify(frame))
  }

  /** Ends the channel after everything that was written. */
  async close(): Promise<void> {
    if (this.over) return
    if (!this.attached && this.stream.writableLength === 0) {
      this.over = true
      return
    }
    await new Promise<void>((resolve) => {
      this.stream.once('close', resolve)
      this.stream.end()
    })
  }

  private async writeChunks(chunk: Buffer): Promise<void> {
    for (let start = 0; start < chunk.length; start += CHUNK) {
      await this.transmit(chunk.subarray(start, start + CHUNK))
    }
  }

  private async transmit(data: string | Buffer): Promise<void> {
    if (this.over) throw new AgentError('cancelled', 'The channel is closed')
    // Everybody awaits the same promise, so what was sent first stays first.
    const { socket, cork } = await this.connect()
    if (this.over || socket.readyState !== socket.OPEN) {
      throw new AgentError('cancelled', 'The reader of the channel is gone')
    }
    cork.hold()
    await new Promise<void>((resolve, reject) => {
      socket.send(data, (error) => {
        if (error) reject(new AgentError('cancelled', 'The reader of the channel is gone', { cause: error }))
        else resolve()
      })
    })
  }

  private connect(): Promise<ChannelSocket> {
    this.attached ??= attach(this.address, this.ref).then((attached) => {
      const readerGone = () => {
        if (!this.over) this.stream.destroy()
      }
      if (attached.socket.readyState > attached.socket.OPEN) readerGone()
      attached.socket.on('close', readerGone)
      return attached
    })
    return this.attached
  }

  private end(socket: ChannelSocket['socket'], reason: string): Promise<void> {
    this.over = true
    if (socket.readyState === socket.CLOSED) return Promise.resolve()
    return new Promise((resolve) => {
      socket.once('close', () => resolve())
      socket.close(1000, reason)
    })
  }
}

/** The reading end of a channel: bytes from `stream`, text messages by `messages` or `onMessage`. */
export class ChannelReader {
  readonly ref: ChannelRef
  readonly stream: Readable
  private readonly address: string
  private readonly listeners: ((text: string) => void)[] = []
  private attached: Promise<ChannelSocket> | undefined
  private opened: ChannelSocket['socket'] | undefined
  private streamFull = false
  private queue: string[] = []
  private queueing = false
  private ended = false
  private failure: Error | undefined
  private wake: (() => void) | undefined

  constructor(address: string, ref: ChannelRef) {
    this.address = address
    this.ref = ref
    this.stream = new Readable({
      read: () => {
        this.streamFull = false
        this.connect()
        this.regulate()
      },
      destroy: (error, done) => {
        this.finish()
        this.attached?.then(({ socket }) => socket.close()).catch(ignore)
        done(error)
      },
    })
    this.stream.on('error', ignore)
  }

  onMessage(callback: (text: string) => void): void {
    this.listeners.push(callback)
    this.connect()
  }

  /** Text messages in order, until the writer ends the channel. A slow loop slows the writer. */
  async *messages(): AsyncGenerator<string, void, undefined> {
    this.queueing = true
    this.connect()
    try {
      for (;;) {
        const text = this.queue.shift()
        if (text !== undefined) {
          this.regulate()
          yield text
        } else if (this.failure) {
          throw this.failure
        } else if (this.ended) {
          return
        } else {
          await new Promise<void>((resolve) => {
            this.wake = resolve
          })
        }
      }
    } finally {
      this.queueing = false
      this.queue = []
      this.regulate()
    }
  }

  async readAll(): Promise<Buffer> {
    const chunks: Buffer[] = []
    for await (const chunk of this.stream) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks)
  }

  close(): void {
    this.stream.destroy()
  }

  private connect(): void {
    if (this.attached || this.ended) return
    this.attached = attach(this.address, this.ref, (socket) => {
      socket.on('message', (data, isBinary) => this.receive(data, isBinary))
      socket.on('close', () => {
        if (socket === this.opened) this.finish()
      })
    })
    this.attached.then(
      ({ socket }) => {
        this.opened = socket
        if (socket.readyState >= socket.CLOSING) this.finish()
        else if (this.stream.destroyed) socket.close()
        else this.regulate()
      },
      (error: Error) => {
        this.failure = error
        this.stream.destroy(error)
      },
    )
  }

  private receive(data: RawData, isBinary: boolean): void {
    if (isBinary) {
      if (!this.stream.push(data)) this.streamFull = true
    } else {
      const text = data.toString()
      if (this.queueing) {
        this.queue.push(text)
        this.wake?.()
      }
      for (const listener of this.listeners) listener(text)
    }
    this.regulate()
  }

  private regulate(): void {
    const socket = this.opened
    if (!socket || socket.readyState !== socket.OPEN) return
    const wanted = this.streamFull || this.queue.length >= QUEUED_MESSAGES
    if (wanted && !socket.isPaused) socket.pause()
    else if (!wanted && socket.isPaused) socket.resume()
  }

  private finish(): void {
    if (this.ended) return
    this.ended = true
    if (!this.stream.destroyed) this.stream.push(null)
    this.wake?.()
  }
}

function ignore(): void {}
