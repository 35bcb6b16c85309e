import type { ManagedProcess } from './managed-process.ts'

/** A process whose event loop stands still does not hear the request to end: it gets no longer than this. */
const GRACE_MS = 1_000

/**
 * Ends processes that the engine does not hear: what blocks an event loop for so long does not end by itself, and until
 * it is ended nothing serves in its place.
 */
export class SilenceWatch {
  /** How long a process may be silent, in milliseconds. */
  readonly limitMs: number
  private readonly timers = new Map<ManagedProcess, NodeJS.Timeout>()

  constructor(limitMs: number) {
    this.limitMs = limitMs
  }

  /** It has not answered the engine's heartbeats for `silentMs` until now. */
  silent(process: ManagedProcess, silentMs: number): void {
    process.silentSince = Date.now() - silentMs
    this.wait(process, this.limitMs - silentMs, 'answered no heartbeat', 'a handler blocks its event loop')
  }

  /** A new engine listens: whoever runs connects within moments. */
  expect(process: ManagedProcess): void {
    this.wait(process, this.limitMs, 'did not connect to the engine', 'something blocks its event loop')
  }

  heard(process: ManagedProcess): void {
    process.silentSince = undefined
    clearTimeout(this.timers.get(process))
    this.timers.delete(process)
  }

  /** Nobody listens any more, so nobody can be heard. */
  clear(): void {
    for (const process of [...this.timers.keys()]) this.heard(process)
  }

  private wait(process: ManagedProcess, ms: number, what: string, why: string): void {
    clearTimeout(this.timers.get(process))
    const { pid } = process
    const end = (): void => {
      this.timers.delete(process)
      if (process.pid !== pid) return
      process.condemn(`${what} for ${this.limitMs / 1000} s: ${why}, an endless loop for example`, GRACE_MS)
    }
    // Where this process itself stood still, what the engine said meanwhile is read first.
    const timer = setTimeout(() => setImmediate(() => this.timers.get(process) === timer && end()), Math.max(0, ms))
    this.timers.set(process, timer.unref())
  }
}
