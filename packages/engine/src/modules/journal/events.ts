import { EngineError, type ErrorBody } from '@agentos/protocol'
import type { BuiltinCall, ChannelRef, ModuleHost } from '../../core/module.ts'
import type { Input } from '../input.ts'
import type { OpenWriter, TextWriter } from '../traces/watch.ts'
import { type Entry, isOpen, type RunHead } from './entry.ts'
import { withoutChannels } from './fingerprint.ts'
import { Journal } from './journal.ts'
import type { Runs } from './runs.ts'

const PAGE = 100
const MAX_READERS = 500
/** An end that the engine chooses is better than the deadline's error: the reader asks for the rest. */
const BEFORE_DEADLINE_MS = 500

/** `engine::runs::events`: the entries of a run after a number, then each new one, until the run or the reader is through. */
export class EventReaders {
  private readonly host: ModuleHost
  private readonly runs: Runs
  private readonly openWriter: OpenWriter
  private count = 0

  constructor(host: ModuleHost, runs: Runs, openWriter: OpenWriter) {
    this.host = host
    this.runs = runs
    this.openWriter = openWriter
  }

  open(head: RunHead, input: Input, call: BuiltinCall): void {
    if (this.count >= MAX_READERS) throw new EngineError('overloaded', `${MAX_READERS} readers follow runs already`)
    const after = afterOf(input, call)
    const reader = new EventReader(this.host, this.runs, head, this.openWriter(channelRef(input)), after)
    this.count += 1
    reader.run(call, () => {
      this.count -= 1
    })
  }
}

class EventReader {
  private readonly host: ModuleHost
  private readonly runs: Runs
  private readonly head: RunHead
  private readonly writer: TextWriter
  private readonly journal: Journal
  private last: number
  private reading = false
  private more = true
  private over = false
  private finish: (failed?: ErrorBody) => void = () => {}

  constructor(host: ModuleHost, runs: Runs, head: RunHead, writer: TextWriter, after: number) {
    this.host = host
    this.runs = runs
    this.head = head
    this.writer = writer
    this.last = after
    this.journal = new Journal(host.ports, head.realm, head.id, () => {})
  }

  run(call: BuiltinCall, ended: () => void): void {
    const { timers, clock } = this.host.ports
    const unlisten = this.runs.listen(this.head.id, () => {
      this.more = true
      this.read()
    })
    const left = call.context.deadline === undefined ? undefined : call.context.deadline - clock.monotonic()
    const timer = left === undefined ? undefined : timers.set(left - BEFORE_DEADLINE_MS, () => this.finish())
    this.finish = (failed) => {
      if (this.over) return
      this.over = true
      unlisten()
      if (timer) timers.clear(timer)
      this.writer.end()
      ended()
      if (failed) call.fail(failed.code, failed.message)
      else call.reply({ runId: this.head.id, status: this.head.status, last: this.last })
    }
    call.onCancel(() => this.finish())
    this.read()
  }

  /** Sends what is there after the last one sent. */
  private read(): void {
    if (this.reading || this.over) return
    this.reading = true
    this.more = false
    this.journal.range(this.last, PAGE, (entries, error, more) => {
      if (this.over) return
      if (error) return this.finish(error)
      if (more) this.more = true
      this.guard(() => this.send(entries, more))
    })
  }

  private send(entries: [number, Entry][], more: boolean): void {
    for (const [index, [n, entry]] of entries.entries()) {
      if (this.writer.aborted) return this.finish()
      const isLast = index === entries.length - 1 && !more
      this.last = n
      // An end after which it was opened again is none.
      if (entry.kind === 'finished' && (!isLast || this.isOpen)) continue
      const { kind, ...fields } = shown(entry)
      const room = this.writer.write(JSON.stringify({ type: kind, eventId: n, run: this.head.id, ...fields }))
      if (kind === 'finished') return this.finish()
      if (room) continue
      // What is left is read again when there is room.
      this.more = true
      this.writer.onDrain(() => this.guard(() => this.next()))
      return
    }
    this.next()
  }

  /** How the run stands is read from the disk, which may not answer: the reader asks for the rest then. */
  private guard(work: () => void): void {
    try {
      work()
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      this.finish(error.toBody())
    }
  }

  /** It may have been opened again after an end. */
  private get isOpen(): boolean {
    const { realm, id } = this.head
    const now = this.runs.head(realm, id)
    return now !== undefined && isOpen(now.status)
  }

  private next(): void {
    this.reading = false
    if (this.writer.aborted) return this.finish()
    if (this.more) return this.read()
    // Nothing comes any more: it was over before we began to listen.
    if (!this.isOpen && !this.runs.get(this.head.id)) this.finish()
  }
}

/** A channel's key opens it: nobody is shown one. */
function shown(entry: Entry): Entry {
  return entry.kind === 'started' ? { ...entry, input: withoutChannels(entry.input) } : entry
}

/** Where to go on: as asked, or as a reader of server-sent events says when it comes back. */
function afterOf(input: Input, call: BuiltinCall): number {
  const asked = input.optionalInteger('after', { min: 0, max: Number.MAX_SAFE_INTEGER })
  if (asked !== undefined) return asked
  const header = Number(call.http?.headers['last-event-id'] ?? 0)
  return Number.isSafeInteger(header) && header > 0 ? header : 0
}

function channelRef(input: Input): ChannelRef {
  const ref = input.optionalValue('stream') as Partial<ChannelRef> | undefined
  if (typeof ref === 'object' && typeof ref.channel_id === 'string' && typeof ref.access_key === 'string') {
    return { channel_id: ref.channel_id, access_key: ref.access_key, direction: 'write' }
  }
  throw input.mismatch('`stream` has to be the writer of a channel; over HTTP, ask with `stream=true`')
}
