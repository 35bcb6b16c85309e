import type { Grant } from '../../src/core/connection.ts'
import type { Frame } from './flow-process.ts'
import { QueueClient } from './queue-client.ts'
import type { World } from './world.ts'

const GRANT: Grant = { principal: { kind: 'system', id: 'approval' }, realm: 'system', worker: 'approval' }

/**
 * Whoever is asked before a call of an agent goes on: a request for each step, a person's approval for each request, and
 * each approval for one call. What it knows is on its disk; only its socket is cut.
 */
export class ApprovalGate {
  readonly client: QueueClient<Frame>
  private readonly world: World
  private readonly isSilent: () => boolean
  /** The open request of each step. */
  private readonly requests = new Map<string, string>()
  private readonly approved = new Set<string>()
  private readonly passed = new Map<string, number>()
  private n = 0

  /** `isSilent`: a question is never answered. */
  constructor(world: World, isSilent: () => boolean) {
    this.world = world
    this.isSilent = isSilent
    this.client = new QueueClient<Frame>(world, (frame) => this.receive(frame), GRANT)
  }

  approve(requestId: string): void {
    this.approved.add(requestId)
  }

  /** How often the call of a step was let through. */
  letThrough(step: string): number {
    return this.passed.get(step) ?? 0
  }

  private receive({ type, invocation_id, function_id, data }: Frame): void {
    if (type !== 'invokefunction') return
    const result = this.judge(`${data.runId}/${data.input.key}`)
    if (this.isSilent()) return
    this.world.after(this.world.between(0, 40), () =>
      this.client.send({ type: 'invocationresult', invocation_id, function_id, result }),
    )
  }

  private judge(step: string): object {
    const open = this.requests.get(step)
    if (open !== undefined && this.approved.has(open)) {
      this.requests.delete(step)
      this.passed.set(step, this.letThrough(step) + 1)
      return { allow: true, requestId: open }
    }
    const requestId = open ?? `request-${++this.n}`
    this.requests.set(step, requestId)
    return { allow: false, requestId }
  }
}
