import type { SupervisedState, ToSupervisor } from '@agentos/protocol'
import { EngineError } from '@agentos/protocol'

/**
 * Who starts and stops the processes of the installed workers, where somebody does. It exists from its first word on:
 * until then, and without one, the engine asks for nothing and whoever started a worker by hand keeps it.
 */
export class Supervision {
  private states: ReadonlyMap<string, SupervisedState> = new Map()
  private tell: ((message: ToSupervisor) => void) | undefined
  /** There was one, and it ended without ending this process. */
  lost = false
  /** Workers that a call waits for, until one of their processes connects. */
  private readonly needed = new Set<string>()

  get present(): boolean {
    return this.tell !== undefined
  }

  /** The supervisor speaks for the first time, or again. */
  update(states: Record<string, SupervisedState>, tell: (message: ToSupervisor) => void): void {
    this.tell = tell
    this.lost = false
    this.states = new Map(Object.entries(states))
    // Asked again where it fell asleep while the question was on its way; to ask twice is harmless.
    for (const worker of this.needed) if (this.stateOf(worker) === 'asleep') tell({ type: 'needed', worker })
  }

  /** It is gone, and nobody starts or stops anything any more. */
  end(): void {
    this.lost ||= this.present
    this.tell = undefined
    this.states = new Map()
    this.needed.clear()
  }

  stateOf(worker: string): SupervisedState | undefined {
    return this.states.get(worker)
  }

  /** A call is about to wait for this worker. Throws where nobody would start it. */
  need(worker: string): void {
    const state = this.stateOf(worker)
    if (state === 'held') throw this.heldError(worker)
    if (state === 'unbuilt') {
      throw new EngineError(
        'worker_unavailable',
        `The worker ${worker} does not build, so it does not run; npm run agentos -- status says where its sources are wrong`,
      )
    }
    if (this.needed.has(worker)) return
    this.needed.add(worker)
    if (state === undefined || state === 'asleep') this.tell?.({ type: 'needed', worker })
  }

  /** What a call hears of a worker that nobody starts again by itself. */
  heldError(worker: string): EngineError {
    return new EngineError(
      'worker_unavailable',
      `The worker ${worker} is held after ending too often; npm run agentos -- status says why, and npm run agentos -- restart ${worker} starts it again`,
      { details: { worker, state: 'held' } },
    )
  }

  /** `what` cannot be, since nobody starts or ends processes any more. */
  lostError(what: string): EngineError {
    return new EngineError(
      'worker_unavailable',
      `${what}: the supervisor that started this engine is gone. npm run agentos -- stop, then npm start`,
      { details: { supervisor: 'gone' } },
    )
  }

  /** From now on it counts as asleep: the next call asks for it. */
  release(worker: string): void {
    this.states = new Map(this.states).set(worker, 'asleep')
    this.needed.delete(worker)
    this.tell?.({ type: 'idle', worker })
  }

  connected(worker: string, pid: number): void {
    this.needed.delete(worker)
    this.tell?.({ type: 'connected', pid })
  }

  /** A process answers no heartbeat; whoever started it ends it when that lasts. */
  silent(pid: number, silentMs: number): void {
    this.tell?.({ type: 'silent', pid, silentMs })
  }

  heard(pid: number): void {
    this.tell?.({ type: 'heard', pid })
  }

  /** Its last connection is closed; whoever started it sees whether it ends or comes back. */
  gone(pid: number): void {
    this.tell?.({ type: 'gone', pid })
  }

  restart(worker: string): void {
    this.order({ type: 'restart', worker })
  }

  /** Throws `conflict` where no process of it runs. */
  kill(worker: string): void {
    const state = this.stateOf(worker)
    if (this.present && state !== 'up' && state !== 'starting' && state !== 'silent') {
      throw new EngineError('conflict', `No process of the worker ${worker} runs now: it is ${state ?? 'not known'}`)
    }
    this.order({ type: 'kill', worker })
  }

  private order(message: ToSupervisor): void {
    if (this.tell) return this.tell(message)
    if (this.lost) throw this.lostError(`Nobody can ${message.type} workers`)
    throw new EngineError(
      'worker_unavailable',
      `No supervisor started this engine, so it cannot ${message.type} workers: do it with the process yourself`,
      { details: { supervisor: 'none' } },
    )
  }
}
