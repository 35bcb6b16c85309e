import type { Log, Ports, Timer } from './ports.ts'

/** Of one text that a client gave, and of a message that has such texts in it. */
const TEXT = 200
const MESSAGE = 600
/** What guests may write into the engine's log, all together: its files turn over, and are there for everybody. */
const BYTES_A_MINUTE = 64 * 1024
const MINUTE_MS = 60_000
/** What a line has beside its fields and message. */
const FRAME_BYTES = 80

/** What was left out in a minute, as it is told at the end of it. */
interface LeftOut {
  records?: number
  spans?: number
}

/**
 * The lines of the engine's log that there are because of what a guest, or a client without a valid credential, sent: all
 * out of one allowance, each text in them cut. What was left out is told once a minute.
 */
export class GuestLog implements Log {
  private readonly ports: Pick<Ports, 'log' | 'clock' | 'timers'>
  private readonly spansAMinute: number
  private since = Number.NEGATIVE_INFINITY
  private bytes = 0
  private spans = 0
  private leftOut: LeftOut = {}
  private timer: Timer | undefined

  constructor(ports: Pick<Ports, 'log' | 'clock' | 'timers'>, spansAMinute: number) {
    this.ports = ports
    this.spansAMinute = spansAMinute
  }

  debug(fields: object, message: string): void {
    this.write('debug', cutFields(fields), cut(message, MESSAGE))
  }

  info(fields: object, message: string): void {
    this.write('info', cutFields(fields), cut(message, MESSAGE))
  }

  warn(fields: object, message: string): void {
    this.write('warn', cutFields(fields), cut(message, MESSAGE))
  }

  error(fields: object, message: string): void {
    this.write('error', cutFields(fields), cut(message, MESSAGE))
  }

  /** A line as it is, in so far as there is room for it. */
  write(level: keyof Log, fields: object, message: string): void {
    this.turn()
    const bytes = Buffer.byteLength(JSON.stringify(fields)) + Buffer.byteLength(JSON.stringify(message)) + FRAME_BYTES
    if (this.bytes + bytes > BYTES_A_MINUTE) return this.leaveOut('records', 1)
    this.bytes += bytes
    this.ports.log[level](fields, message)
  }

  /** How many of so many spans of guests are still to be recorded in this minute. */
  takeSpans(count: number): number {
    this.turn()
    const taken = Math.min(count, this.spansAMinute - this.spans)
    this.spans += taken
    if (taken < count) this.leaveOut('spans', count - taken)
    return taken
  }

  private leaveOut(what: keyof LeftOut, count: number): void {
    this.leftOut[what] = (this.leftOut[what] ?? 0) + count
    const { clock, timers } = this.ports
    this.timer ??= timers.set(Math.max(0, this.since + MINUTE_MS - clock.monotonic()), () => this.tell())
  }

  private turn(): void {
    const now = this.ports.clock.monotonic()
    if (now - this.since < MINUTE_MS) return
    this.tell()
    Object.assign(this, { since: now, bytes: 0, spans: 0 })
  }

  private tell(): void {
    if (this.timer === undefined) return
    this.ports.timers.clear(this.timer)
    this.timer = undefined
    const { leftOut } = this
    this.leftOut = {}
    this.ports.log.warn(leftOut, 'Log records or spans of guests were left out: there were too many')
  }
}

/** The log for what clients that are no guests sent: as much as there is, each text cut. */
export function cutLog(log: Log): Log {
  const through =
    (level: keyof Log) =>
    (fields: object, message: string): void =>
      log[level](cutFields(fields), cut(message, MESSAGE))
  return { debug: through('debug'), info: through('info'), warn: through('warn'), error: through('error') }
}

function cutFields(fields: object): object {
  const entries = Object.entries(fields).map(([name, value]) => [name, typeof value === 'string' ? cut(value) : value])
  return Object.fromEntries(entries)
}

function cut(text: string, most = TEXT): string {
  return text.length > most ? `${text.slice(0, most)}…` : text
}
