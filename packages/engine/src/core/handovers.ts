import type { Call } from './call.ts'
import { lossesOf, STEP_MS } from './losses.ts'
import type { Ports, Timer } from './ports.ts'

const WINDOW_MS = 60_000
/** Losses within the window from which on runs and jobs are handed over one at a time. */
const SLOW_FROM = 2

/** A worker that has lost processes lately, and what is to be handed to it. */
interface Line {
  /** Readings of the monotonic clock. */
  losses: number[]
  calls: Set<Call>
  /** Not before this reading of the monotonic clock. */
  next: number
  timer: Timer | undefined
}

/**
 * When runs and jobs may be handed to a worker. At once, as a rule. From the second loss of a process within a minute on
 * one at a time, with a step between them and those with losses last, so that the end of the next one tells whose doing
 * it is.
 */
export class Handovers {
  private readonly ports: Ports
  private readonly handOver: (call: Call) => void
  /** By worker; empty in normal life. */
  private readonly lines = new Map<string, Line>()

  constructor(ports: Ports, handOver: (call: Call) => void) {
    this.ports = ports
    this.handOver = handOver
  }

  /** No worker has lost a process lately, and nothing waits. */
  get idle(): boolean {
    return this.lines.size === 0
  }

  /** A process of this worker ended with runs or jobs in it. Returns whether that was not the first within a minute. */
  lost(worker: string): boolean {
    for (const [name, line] of this.lines) if (this.isOver(line)) this.lines.delete(name)
    let line = this.lines.get(worker)
    if (!line) {
      line = { losses: [], calls: new Set(), next: 0, timer: undefined }
      this.lines.set(worker, line)
    }
    line.losses.push(this.ports.clock.monotonic())
    return this.isSlow(line)
  }

  /** Has this worker lost a process within the last minute? */
  hasLost(worker: string): boolean {
    const line = this.lines.get(worker)
    return line !== undefined && this.lately(line) > 0
  }

  /** Puts a run or job in line, where it may not be handed to its worker at once. */
  defer(call: Call, worker: string): boolean {
    const line = this.lines.get(worker)
    if (!line) return false
    if (!this.isSlow(line)) {
      if (this.isOver(line)) this.lines.delete(worker)
      return false
    }
    line.calls.add(call)
    this.schedule(line)
    return true
  }

  holds(call: Call): boolean {
    for (const { calls } of this.lines.values()) if (calls.has(call)) return true
    return false
  }

  remove(call: Call): void {
    for (const { calls } of this.lines.values()) calls.delete(call)
  }

  private isSlow(line: Line): boolean {
    return this.lately(line) >= SLOW_FROM
  }

  private isOver(line: Line): boolean {
    return line.calls.size === 0 && this.lately(line) === 0
  }

  private lately(line: Line): number {
    const since = this.ports.clock.monotonic() - WINDOW_MS
    line.losses = line.losses.filter((at) => at > since)
    return line.losses.length
  }

  private schedule(line: Line): void {
    if (line.timer || line.calls.size === 0) return
    const { clock, timers } = this.ports
    line.timer = timers.set(Math.max(0, line.next - clock.monotonic()), () => {
      line.timer = undefined
      const call = firstOf(line.calls)
      if (!call) return
      line.calls.delete(call)
      line.next = clock.monotonic() + STEP_MS
      this.schedule(line)
      this.handOver(call)
    })
  }
}

/** Of those with the fewest losses the one that came first. */
function firstOf(calls: Iterable<Call>): Call | undefined {
  let first: Call | undefined
  for (const call of calls) if (!first || lossesOf(call) < lossesOf(first)) first = call
  return first
}
