import type { SupervisedState, WorkerDescriptor } from '@agentos/protocol'
import { ManagedProcess, type ProcessEvent, type ProcessSpec } from './managed-process.ts'
import { residentMb } from './process-table.ts'
import type { StartTurns } from './start-turns.ts'

/** Calls in flight get this long when a process is ended. */
export const DRAIN_MS = 10_000

/** An installed worker: its processes, and whether they are meant to run. Orders are carried out one after the other. */
export class SupervisedWorker {
  readonly descriptor: WorkerDescriptor
  readonly processes: readonly ManagedProcess[]
  private readonly turns: StartTurns
  private awake: boolean
  private orders: Promise<void> = Promise.resolve()
  private ended = false
  /** Readings above the memory cap in a row. */
  private readonly overCap = new Map<ManagedProcess, number>()

  constructor(
    descriptor: WorkerDescriptor,
    specs: readonly ProcessSpec[],
    turns: StartTurns,
    onEvent: (process: ManagedProcess, event: ProcessEvent) => void,
  ) {
    this.descriptor = descriptor
    this.turns = turns
    this.awake = descriptor.start === 'always'
    this.processes = specs.map((spec) => {
      const process: ManagedProcess = new ManagedProcess(spec, (event) => onEvent(process, event))
      return process
    })
  }

  get name(): string {
    return this.descriptor.name
  }

  /** Does it belong to those that always run? */
  get expected(): boolean {
    return this.descriptor.start === 'always'
  }

  /** Is it to be running now? */
  get wanted(): boolean {
    return this.awake && !this.ended
  }

  get isUp(): boolean {
    return this.processes.every((process) => process.state === 'up')
  }

  /** Of the worker as a whole: up where one of its processes is. */
  get state(): SupervisedState {
    if (!this.wanted) return this.ended ? 'stopped' : 'asleep'
    const states = this.processes.map((process) => this.stateOf(process))
    return states.find((state) => state === 'up') ?? states[0] ?? 'stopped'
  }

  stateOf(process: ManagedProcess): SupervisedState {
    if (process.state === 'up' && process.silentSince !== undefined) return 'silent'
    return process.state === 'stopped' && !this.awake && !this.ended ? 'asleep' : process.state
  }

  /** At the start, or because a call waits for it. Resolves when it is up or has failed. */
  wake(): Promise<void> {
    return this.order(async () => {
      this.awake = true
      const resting = this.processes.filter((process) => process.state === 'stopped')
      await Promise.all(resting.map((process) => this.turns.start(process, () => this.wanted)))
    })
  }

  /** The engine gives it no more calls: its processes end, and wait for the next `wake`. */
  sleep(): Promise<void> {
    return this.order(async () => {
      this.awake = false
      await Promise.all(this.processes.map((process) => process.stop(DRAIN_MS)))
    })
  }

  /**
   * Ends what runs and starts all of it, also where it was held: what went wrong before no longer counts. `specs` are
   * how its processes are run from then on.
   */
  restart(graceMs: number, specs?: readonly ProcessSpec[]): Promise<void> {
    return this.order(async () => {
      this.awake = true
      await Promise.all(this.processes.map((process, index) => process.restart(graceMs, specs?.[index])))
    })
  }

  /** At once and without a word, as a crash would end it: the rules for crashes start it again. */
  kill(): void {
    for (const process of this.processes) process.signal('SIGKILL')
  }

  /** For good. */
  async end(graceMs: number): Promise<void> {
    this.ended = true
    await Promise.all(this.processes.map((process) => process.stop(graceMs)))
  }

  close(): void {
    for (const process of this.processes) process.close()
  }

  /** Ends a process that is over this many MB twice in a row: a peak that the next collection clears is none. */
  enforce(capMb: number): void {
    for (const process of this.processes) {
      const used = process.pid === undefined ? undefined : residentMb(process.pid)
      const over = used !== undefined && used > capMb ? (this.overCap.get(process) ?? 0) + 1 : 0
      this.overCap.set(process, over)
      if (over >= 2) process.condemn(`used ${Math.round(used ?? 0)} MB of ${capMb} MB`, DRAIN_MS)
    }
  }

  private order(carryOut: () => Promise<void>): Promise<void> {
    this.orders = this.orders.then(() => (this.ended ? undefined : carryOut()))
    return this.orders
  }
}
