import type { ServerResponse } from 'node:http'
import type { Timers } from '../../core/ports.ts'

/** Waits until a response takes more. A reader that takes nothing for `stallMs` is too slow. */
export function drained(
  response: ServerResponse,
  timers: Timers,
  stallMs: number,
): Promise<'drained' | 'closed' | 'stalled'> {
  if (response.closed || response.destroyed) return Promise.resolve('closed')
  if (!response.writableNeedDrain) return Promise.resolve('drained')
  return new Promise((resolve) => {
    const settle = (outcome: 'drained' | 'closed' | 'stalled'): void => {
      timers.clear(timer)
      response.off('drain', onDrain)
      response.off('close', onClose)
      resolve(outcome)
    }
    const onDrain = (): void => settle('drained')
    const onClose = (): void => settle('closed')
    const timer = timers.set(stallMs, () => settle('stalled'))
    response.once('drain', onDrain)
    response.once('close', onClose)
  })
}

/** Something that may happen any number of times, and one who waits for the next time. */
export class Signal {
  private waiting: (() => void) | undefined
  private raised = false

  raise = (): void => {
    this.raised = true
    const run = this.waiting
    this.waiting = undefined
    run?.()
  }

  /** Resolves at the next `raise`, at once where it was raised since the last wait. */
  wait(): Promise<void> {
    if (this.raised) {
      this.raised = false
      return Promise.resolve()
    }
    return new Promise((resolve) => {
      this.waiting = () => {
        this.raised = false
        resolve()
      }
    })
  }
}
