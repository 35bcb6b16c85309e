import type { WorkerDescriptor } from '@agentos/protocol'
import type { Connection } from './connection.ts'
import type { Core } from './core.ts'

/** Looked for this often within the time that a worker may be idle, and at most so often. */
const LOOKS = 4
const LONGEST_LOOK_MS = 30_000

interface Seen {
  /** Frames of all its connections at the last look. */
  frames: number
  /** Since when nothing has happened, on the monotonic clock. */
  since: number
}

/**
 * Lets on-demand workers go that have had nothing to do for a while. Busy is who serves a call, waits for one of its own,
 * may still act for an answered one, or has sent anything since the last look.
 */
export class IdleWatch {
  private readonly core: Core
  private readonly idleMs: number
  private readonly seen = new Map<string, Seen>()

  constructor(core: Core, idleMs: number) {
    this.core = core
    this.idleMs = idleMs
  }

  start(): void {
    const onDemand = [...this.core.catalogue.workers.values()].filter((worker) => worker.start === 'on-demand')
    if (onDemand.length > 0) this.plan(onDemand)
  }

  private plan(workers: readonly WorkerDescriptor[]): void {
    this.core.ports.timers.set(Math.min(this.idleMs / LOOKS, LONGEST_LOOK_MS), () => {
      // Without a supervisor nobody would start them again.
      if (this.core.supervision.present) for (const { name } of workers) this.look(name)
      this.plan(workers)
    })
  }

  private look(worker: string): void {
    const connections = this.core.connectionsOf(worker)
    const serving = connections.filter((connection) => connection.functions.size > 0)
    if (serving.length === 0) {
      this.seen.delete(worker)
      return
    }
    const now = this.core.ports.clock.monotonic()
    const frames = connections.reduce((sum, connection) => sum + connection.framesReceived, 0)
    const last = this.seen.get(worker)
    if (!last || last.frames !== frames || connections.some(isBusy)) this.seen.set(worker, { frames, since: now })
    else if (now - last.since >= this.idleMs) {
      this.seen.delete(worker)
      this.core.retire(worker)
    }
  }
}

const isBusy = ({ serving, calling, detached }: Connection): boolean =>
  serving.size > 0 || calling.size > 0 || detached.size > 0
