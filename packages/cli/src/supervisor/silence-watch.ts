import type { ManagedProcess } from './managed-process.ts'

/** A process whose event loop stands still does not hear the request to end: it gets no longer than this. */
const GRACE_MS = 1_000
/** Beats of the longest wait; with fewer a beat that comes late would count for much. */
const LEAST_BEATS = 6
const LONGEST_BEAT_MS = 1_000
/** Of the limit: an engine that has not answered for so long is shown as silent. */
const TOLD_AFTER = 1 / 3

interface Waiting {
  /** Whom it waits for: another process of the same name is waited for anew. */
  pid: number | undefined
  /** Milliseconds of silence, counted in beats. */
  silentMs: number
  /** What it did not do, and what may be why. */
  what: string
  why: string
}

const LOOP = 'blocks its event loop, an endless loop for example'

/**
 * Ends processes that are not heard: what blocks an event loop for so long does not end by itself, and until it is ended
 * nothing serves in its place. The engine is asked at each beat, from its first moment on; of the others the engine says
 * who has connected and who answers.
 *
 * Time is counted in our own beats, never read from a clock: a machine that slept, or a supervisor that stood still,
 * adds one beat to everybody's silence, however long it was. While the engine is not heard nobody else is judged.
 */
export class SilenceWatch {
  /** How long a process may be silent, in milliseconds. */
  readonly limitMs: number
  readonly beatMs: number
  private readonly waiting = new Map<ManagedProcess, Waiting>()
  private engine: ManagedProcess | undefined
  private asked = false

  constructor(limitMs: number) {
    this.limitMs = limitMs
    this.beatMs = Math.min(LONGEST_BEAT_MS, limitMs / LEAST_BEATS)
  }

  /** A new engine process: nobody has connected to it yet, and it is asked from the next beat on. */
  begin(engine: ManagedProcess): void {
    for (const process of [...this.waiting.keys()]) this.heard(process)
    this.engine = engine
    this.asked = false
  }

  /** The engine said something. */
  engineHeard(): void {
    if (this.engine) this.heard(this.engine)
    this.asked = false
  }

  /** It has not answered the engine's heartbeats for `silentMs` until now. */
  silent(process: ManagedProcess, silentMs: number): void {
    process.silentSince = Date.now() - silentMs
    this.wait(process, { silentMs, what: 'answered no heartbeat', why: `a handler ${LOOP}` })
  }

  /** It has no connection to an engine that listens: who runs connects within moments. */
  expect(process: ManagedProcess): void {
    // Of a process that answers nothing the engine lets the connection go in the end: it is no less silent for that.
    if (process.silentSince !== undefined && this.waiting.get(process)?.pid === process.pid) return
    process.silentSince = undefined
    this.wait(process, { silentMs: 0, what: 'did not connect to the engine', why: `something ${LOOP}` })
  }

  heard(process: ManagedProcess): void {
    process.silentSince = undefined
    this.waiting.delete(process)
  }

  /** `ping` asks the engine. Says whether it has just become silent. */
  beat(ping: () => void): boolean {
    const { engine } = this
    if (!engine?.isRunning) return false
    const isHeard = !this.asked
    this.asked = true
    ping()
    if (!isHeard) return this.engineSilent(engine)
    for (const [process, waiting] of [...this.waiting]) if (process !== engine) this.count(process, waiting)
    return false
  }

  private engineSilent(engine: ManagedProcess): boolean {
    const what = 'answered no heartbeat'
    const waiting = this.waiting.get(engine) ?? this.wait(engine, { silentMs: 0, what, why: `something ${LOOP}` })
    this.count(engine, waiting)
    if (waiting.silentMs < this.limitMs * TOLD_AFTER || engine.silentSince !== undefined) return false
    engine.silentSince = Date.now() - waiting.silentMs
    return true
  }

  private wait(process: ManagedProcess, silence: Omit<Waiting, 'pid'>): Waiting {
    const waiting = { ...silence, pid: process.pid }
    this.waiting.set(process, waiting)
    return waiting
  }

  private count(process: ManagedProcess, waiting: Waiting): void {
    // Who was told to stop is ended by whoever told it.
    if (process.pid !== waiting.pid || !process.isRunning) return void this.waiting.delete(process)
    waiting.silentMs += this.beatMs
    if (waiting.silentMs < this.limitMs) return
    this.waiting.delete(process)
    process.condemn(`${waiting.what} for ${this.limitMs / 1000} s: ${waiting.why}`, GRACE_MS)
  }
}
