import type { Waiting } from './durable.ts'
import { AgentError } from './errors.ts'

/** Thrown where a run has to wait. Pass it on: it is no failure, and the handler is run again when there is more to do. */
export class Suspended extends AgentError {
  readonly waiting: Waiting

  constructor(waiting: Waiting) {
    super('run_suspended', 'The run waits; it goes on in another attempt')
    this.name = 'Suspended'
    this.waiting = waiting
  }
}

export function isSuspended(error: unknown): error is Suspended {
  return error instanceof Suspended
}
