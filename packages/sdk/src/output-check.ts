import type { Logger } from 'pino'
import type { FunctionContract } from './contract.ts'
import { assertOutput } from './validate.ts'

/** Between two looks at the outputs of one function, where a wrong one is not refused: the check costs as much as the work. */
const LOOK_EVERY_MS = 1_000

/** Compares what handlers return with their contracts. */
export class OutputCheck {
  private readonly refuse: boolean
  /** Reads a monotonic clock in milliseconds. */
  private readonly now: () => number
  /** By function: when its outputs are looked at again; never again after one was wrong. */
  private readonly next = new Map<string, number>()

  constructor(refuse: boolean, now: () => number = () => performance.now()) {
    this.refuse = refuse
    this.now = now
  }

  /** Throws `internal` for an output that its contract does not allow, or, where outputs are not refused, logs it once. */
  look(contract: FunctionContract, output: unknown, log: Logger): void {
    if (this.refuse) return assertOutput(contract, output)
    const now = this.now()
    if (now < (this.next.get(contract.id) ?? 0)) return
    this.next.set(contract.id, now + LOOK_EVERY_MS)
    try {
      assertOutput(contract, output)
    } catch (error) {
      this.next.set(contract.id, Number.POSITIVE_INFINITY)
      log.error({ err: error }, 'a bug: the output breaks its contract; it was passed on, and is told once')
    }
  }
}
