import { type ErrorBody, isTooDeep, payloadJson, TOO_DEEP } from '@agentos/protocol'
import type { CallResult, ChannelRef } from '../../core/module.ts'
import type { Timer } from '../../core/ports.ts'
import type { LocalReader } from '../channels.ts'
import { cancelWhenAbandoned, type PendingCall } from './call.ts'
import type { EdgeParts } from './contract-route.ts'
import { drained, Signal } from './drain.ts'
import type { Exchange } from './exchange.ts'
import { problemOf } from './problem.ts'

/** The head is sent so long after the call began even without a frame, so that the client has its trace id. */
const HEAD_AFTER_MS = 250
/** A result and the frames before it come by different sockets: what is late gets this long without a frame. */
const QUIET_MS = 25
/** Time for the last words to a reader that was too slow. */
const LAST_WORDS_MS = 1_000

/**
 * Serves a call as server-sent events: each JSON text frame of its stream as `event: <type>`, then `event: done` with
 * the result or `event: error` with the problem. A call that fails before its first frame answers as a plain problem.
 */
export async function serveStream(
  exchange: Exchange,
  parts: EdgeParts,
  start: (stream: ChannelRef, onSettled: () => void) => PendingCall,
): Promise<void> {
  const { channels, settings } = parts
  const release = parts.openStream(exchange)
  if (!release) return
  // Shared: an agent writes to it what it does, and hands it on to the router for the model's words.
  const pair = channels.create({ shared: true, pinned: true })
  const reader = channels.openReader(pair.reader)
  const stream = new EventStream(exchange, parts)
  try {
    const signal = new Signal()
    reader.onReadable(signal.raise)
    exchange.response.once('close', signal.raise)
    const pending = start(pair.writer, signal.raise)
    cancelWhenAbandoned(exchange, pending, settings.abandonedMs)
    const head = exchange.ports.timers.set(HEAD_AFTER_MS, () => {
      if (!pending.settled) stream.open()
    })
    void pending.result.then(() => exchange.ports.timers.clear(head))
    await relay(exchange, stream, reader, pending, signal)
  } finally {
    stream.stop()
    reader.close()
    channels.remove(pair.reader)
    release()
  }
}

async function relay(
  exchange: Exchange,
  stream: EventStream,
  reader: LocalReader,
  pending: PendingCall,
  signal: Signal,
): Promise<void> {
  for (;;) {
    for (let item = reader.next(); item; item = reader.next()) {
      if (item.binary) continue
      if (!(await stream.write(item.data.toString('utf8')))) {
        if (!exchange.abandoned) pending.handle.cancel('The reader of the stream is too slow')
        return
      }
    }
    if (exchange.response.closed) return
    const result = pending.settled
    if (result && (await isQuiet(exchange, reader, signal))) return stream.end(result)
    if (!result) await signal.wait()
  }
}

/** Have all frames arrived that were sent before the result? */
async function isQuiet(exchange: Exchange, reader: LocalReader, signal: Signal): Promise<boolean> {
  if (reader.attached && reader.writers === 0) return true
  let quiet = false
  const timer = exchange.ports.timers.set(QUIET_MS, () => {
    quiet = true
    signal.raise()
  })
  await signal.wait()
  exchange.ports.timers.clear(timer)
  return quiet
}

/** The response of a stream: a head at first use, events, heartbeats, and an end. */
class EventStream {
  private readonly exchange: Exchange
  private readonly parts: EdgeParts
  private opened = false
  private timer: Timer | undefined

  constructor(exchange: Exchange, parts: EdgeParts) {
    this.exchange = exchange
    this.parts = parts
  }

  open(): void {
    if (this.opened || this.exchange.response.closed) return
    this.opened = true
    this.exchange.response.writeHead(200, {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    this.exchange.response.flushHeaders()
    this.beat()
  }

  /** Writes one frame as an event; `false` where the reader is gone or too slow. */
  async write(frame: string): Promise<boolean> {
    this.open()
    return this.send(eventOf(frame))
  }

  async end(result: CallResult): Promise<void> {
    const { exchange } = this
    if (!this.opened && !result.ok) return exchange.problem(result.error)
    this.open()
    if (result.ok) {
      await this.send(`event: done\ndata: ${payloadJson(result.payload)?.toString() ?? 'null'}\n\n`)
    } else {
      await this.send(this.errorEvent(result.error))
    }
    exchange.response.end()
  }

  stop(): void {
    if (this.timer) this.exchange.ports.timers.clear(this.timer)
    this.timer = undefined
  }

  private async send(text: string): Promise<boolean> {
    const { response, ports } = this.exchange
    if (response.closed) return false
    if (response.write(text)) return true
    const outcome = await drained(response, ports.timers, this.parts.settings.slowReaderMs)
    if (outcome === 'drained') return true
    if (outcome === 'stalled') this.cutOff()
    return false
  }

  /** Tells a slow reader why, if it still listens, and lets go of what waits for it. */
  private cutOff(): void {
    const { response, ports } = this.exchange
    const message = 'The reader of this stream took nothing for too long and was cut off; read faster, or ask again'
    response.end(this.errorEvent({ code: 'overloaded', message }))
    ports.timers.set(LAST_WORDS_MS, () => response.destroy())
  }

  private errorEvent(error: ErrorBody): string {
    this.exchange.errorCode = error.code
    return `event: error\ndata: ${JSON.stringify(problemOf(error, this.exchange.traceId))}\n\n`
  }

  private beat(): void {
    this.timer = this.exchange.ports.timers.set(this.parts.settings.heartbeatMs, () => {
      const { response } = this.exchange
      if (response.closed) return
      // A comment: clients skip it, proxies see life. A full buffer needs none.
      if (!response.writableNeedDrain) response.write(': keep-alive\n\n')
      this.beat()
    })
  }
}

/**
 * `{"type": "text", …}` becomes an event of that name; what is no such object an event `message`. A whole number under
 * `eventId` is the event's id, which a reader that comes back names in `Last-Event-ID`.
 */
function eventOf(frame: string): string {
  let type = 'message'
  let data = frame
  let id = ''
  try {
    if (isTooDeep(frame)) throw new RangeError(TOO_DEEP)
    const value: unknown = JSON.parse(frame)
    if (typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string') {
      if (/^[\w.:-]{1,64}$/.test(value.type)) type = value.type
    }
    if (typeof value === 'object' && value !== null && 'eventId' in value && Number.isSafeInteger(value.eventId)) {
      id = `id: ${String(value.eventId)}\n`
    }
    // One line: a frame may be printed over several.
    if (/[\r\n]/.test(frame)) data = JSON.stringify(value)
  } catch {
    data = JSON.stringify(frame)
  }
  return `${id}event: ${type}\ndata: ${data}\n\n`
}
