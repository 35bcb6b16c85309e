import type { ManagedProcess } from './managed-process.ts'

/** A process that has not connected by then lets the next one start; it goes on trying. */
const TURN_MS = 10_000

/** Lets a few processes start at a time: the first is ready sooner, and the last no later. */
export class StartTurns {
  private free: number
  private readonly waiting: (() => void)[] = []

  constructor(lanes: number) {
    this.free = lanes
  }

  /** Starts it when its turn has come; resolves when it is up or has failed. `wanted` is asked right before the start. */
  async start(process: ManagedProcess, wanted: () => boolean): Promise<void> {
    if (this.free === 0) await new Promise<void>((resolve) => this.waiting.push(resolve))
    else this.free -= 1
    try {
      if (!wanted()) return
      process.start()
      await process.started(TURN_MS)
    } finally {
      const next = this.waiting.shift()
      if (next) next()
      else this.free += 1
    }
  }
}
