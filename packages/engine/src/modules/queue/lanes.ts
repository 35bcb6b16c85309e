import type { Ports, Timer } from '../../core/ports.ts'
import type { Job } from './job.ts'

/** One group of a queue: what failed before comes first, then what waits, each in order. */
class Lane {
  readonly retries = new Set<Job>()
  readonly waiting = new Set<Job>()
  running = 0
  timer: Timer | undefined

  head(): Job | undefined {
    return this.retries.values().next().value ?? this.waiting.values().next().value
  }

  remove(job: Job): void {
    this.retries.delete(job)
    this.waiting.delete(job)
  }
}

/**
 * The jobs of a queue that wait for their turn. In an ordered one each group runs one job at a time and a job that failed
 * keeps its place at the head, so that it holds up its group and no other; groups take turns.
 */
export class Lanes {
  private readonly ports: Ports
  private readonly onReady: () => void
  private readonly lanes = new Map<string, Lane>()
  private readonly runnable = new Set<Lane>()
  private readonly sleeping = new Map<Job, Timer>()
  private ordered: boolean

  constructor(ports: Ports, ordered: boolean, onReady: () => void) {
    this.ports = ports
    this.ordered = ordered
    this.onReady = onReady
  }

  setOrdered(ordered: boolean): void {
    this.ordered = ordered
    for (const lane of this.lanes.values()) this.refresh(lane)
  }

  /** Puts a job behind all others of its group. */
  add(job: Job): void {
    this.place(job, 'waiting')
  }

  /** Puts a job that ran back to where it was; `release` follows. */
  putBack(job: Job): void {
    this.place(job, 'retries')
  }

  /** The next job that may run, until `release`. */
  take(): Job | undefined {
    for (const lane of this.runnable) {
      this.runnable.delete(lane)
      const job = lane.head()
      if (!job) continue
      lane.remove(job)
      lane.running += 1
      this.refresh(lane)
      return job
    }
    return undefined
  }

  /** A run is over, however it ended. */
  release(job: Job): void {
    const lane = this.lanes.get(job.group)
    if (!lane) return
    lane.running -= 1
    this.refresh(lane)
    if (lane.running === 0 && !lane.head()) this.lanes.delete(job.group)
  }

  stop(): void {
    for (const timer of this.sleeping.values()) this.ports.timers.clear(timer)
    for (const { timer } of this.lanes.values()) if (timer) this.ports.timers.clear(timer)
  }

  private place(job: Job, where: 'retries' | 'waiting'): void {
    const left = job.readyAt - this.ports.clock.monotonic()
    if (!this.ordered && left > 0) {
      const timer = this.ports.timers.set(left, () => {
        this.sleeping.delete(job)
        this.insert(job, where)
        this.onReady()
      })
      this.sleeping.set(job, timer)
      return
    }
    this.insert(job, where)
  }

  private insert(job: Job, where: 'retries' | 'waiting'): void {
    let lane = this.lanes.get(job.group)
    if (!lane) {
      lane = new Lane()
      this.lanes.set(job.group, lane)
    }
    lane[where].add(job)
    this.refresh(lane)
  }

  private refresh(lane: Lane): void {
    if (lane.timer) this.ports.timers.clear(lane.timer)
    lane.timer = undefined
    const head = lane.head()
    if (!head || (this.ordered && lane.running > 0)) {
      this.runnable.delete(lane)
      return
    }
    const left = head.readyAt - this.ports.clock.monotonic()
    if (left <= 0) {
      this.runnable.add(lane)
      return
    }
    lane.timer = this.ports.timers.set(left, () => {
      this.refresh(lane)
      this.onReady()
    })
  }
}
