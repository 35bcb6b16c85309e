import type { InvokeFunctionFrame, WireContext } from '@agentos/protocol'
import { InvocationError } from './errors.ts'
import { MAX_TIMER_MS } from './pending-calls.ts'

/** One invocation that this process serves, from its frame to its answer. */
export class Inbound {
  readonly id: string
  readonly frame: InvokeFunctionFrame
  /** Connection that brought it; its answer is worth nothing on a later one. */
  readonly epoch: number
  /** The handler has answered. */
  answered = false
  private readonly deadline: number | undefined
  private controller: AbortController | undefined
  private timer: NodeJS.Timeout | undefined
  /** Why it was aborted, where it was. */
  abortReason: InvocationError | undefined

  constructor(frame: InvokeFunctionFrame, epoch: number) {
    this.id = frame.invocation_id ?? ''
    this.frame = frame
    this.epoch = epoch
    const left = frame.context?.deadline_ms
    this.deadline = typeof left === 'number' ? performance.now() + left : undefined
  }

  get functionId(): string {
    return this.frame.function_id
  }

  get context(): WireContext | undefined {
    return this.frame.context
  }

  remainingMs(): number | undefined {
    return this.deadline === undefined ? undefined : Math.max(0, this.deadline - performance.now())
  }

  /** Made at first use: most handlers never look at it. */
  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController()
      if (this.abortReason) this.controller.abort(this.abortReason)
      else this.watchDeadline()
    }
    return this.controller.signal
  }

  abort(code: 'cancelled' | 'deadline_exceeded' | 'engine_lost' | 'shutting_down', message: string): void {
    if (this.abortReason) return
    this.abortReason = new InvocationError({ code, message, function_id: this.functionId })
    clearTimeout(this.timer)
    this.controller?.abort(this.abortReason)
  }

  finish(): void {
    this.answered = true
    clearTimeout(this.timer)
  }

  private watchDeadline(): void {
    const left = this.remainingMs()
    if (left === undefined || this.answered) return
    const delay = Math.min(left, MAX_TIMER_MS)
    this.timer = setTimeout(() => this.abort('deadline_exceeded', 'The deadline of the call has passed'), delay)
    this.timer.unref()
  }
}
