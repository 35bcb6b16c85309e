import { TriggerAction } from '@agentos/sdk'
import type { Client } from '../../../packages/sdk/src/client.ts'
import type { Inbound } from '../../../packages/sdk/src/inbound.ts'
import type { Findings } from '../harness/findings.ts'
import type { RowEnv } from '../harness/row.ts'
import { until } from '../harness/waits.ts'

/** No group waits longer than this for its next job, from the moment that the engine is back. */
const GOAL_MS = 5_000
const GROUPS = ['ada', 'bob', 'eve', 'kim']
/** Shorter than the goal: a delivery that nobody answers comes again within it. */
export const FIFO = {
  type: 'fifo',
  message_group_field: 'group',
  backoff_ms: 50,
  max_retries: 1_000,
  visibility_timeout_ms: 1_500,
}

interface Order {
  group: string
  n: number
}

/** One group: what was accepted, and what came. */
interface Group {
  accepted: Set<number>
  /** Numbers in the order in which they were delivered, repetitions too. */
  delivered: number[]
  answered: Set<number>
  /** Job ids under which each number came. */
  jobs: Map<number, Set<string>>
  waitingSince: number
}

/** Jobs of FIFO groups, each put there under a key until the engine has accepted it. */
export class Orders {
  private readonly groups = new Map<string, Group>()
  private readonly env: RowEnv
  private readonly findings: Findings
  private running = true
  /** Groups whose next new job gets stuck. */
  private sticking = new Set<string>()
  private producing: Promise<unknown> = Promise.resolve()

  constructor(env: RowEnv, findings: Findings) {
    this.env = env
    this.findings = findings
    for (const name of GROUPS) {
      this.groups.set(name, {
        accepted: new Set(),
        delivered: [],
        answered: new Set(),
        jobs: new Map(),
        waitingSince: performance.now(),
      })
    }
  }

  serve(worker: Client): void {
    worker.serve('faults::order', {}, (inbound) => this.take(inbound))
  }

  produce(client: Client): void {
    this.producing = Promise.all(GROUPS.map((group) => this.fill(client, group)))
  }

  /** The engine is back: from now on no group may wait for long. */
  engineBack(): void {
    for (const group of this.groups.values()) group.waitingSince = performance.now()
  }

  /** Stops producing, waits until everything came, and compares. */
  async judge(): Promise<void> {
    // After the last kill: no lost connection gives these back.
    this.sticking = new Set(GROUPS)
    await until(() => this.sticking.size === 0, 4 * GOAL_MS, 20)
    this.findings.expect(this.sticking.size === 0, 'no job got stuck after the last kill')
    this.running = false
    await this.producing
    const open = (): string[] =>
      [...this.groups].flatMap(([name, { accepted, answered }]) => {
        const left = [...accepted].filter((n) => !answered.has(n))
        return left.length === 0 ? [] : [`${left.length} jobs of the group ${name}, the first is ${left[0]}`]
      })
    await until(() => open().length === 0, 4 * GOAL_MS, 20)
    for (const [name, { accepted, delivered, jobs }] of this.groups) {
      const came = new Set(delivered)
      for (const n of accepted) if (!came.has(n)) this.findings.lost(`the job ${n} of the group ${name}`)
      for (const [n, ids] of jobs) {
        if (ids.size > 1) this.findings.doubled(`the job ${n} of the group ${name} is ${ids.size} jobs, by one key`)
      }
      for (const [index, n] of delivered.entries()) {
        const before = delivered[index - 1] ?? n
        this.findings.expect(n >= before, `the group ${name} is out of order: ${n} came after ${before}`)
      }
    }
    for (const what of open()) this.findings.hung(`${what} were never answered`)
    const all = [...this.groups.values()]
    this.findings.figure(
      'jobs',
      all.reduce((sum, { accepted }) => sum + accepted.size, 0),
      '',
    )
    const again = all.reduce((sum, { delivered }) => sum + delivered.length - new Set(delivered).size, 0)
    this.findings.figure('jobs that came again', again, '')
  }

  private async fill(client: Client, group: string): Promise<void> {
    for (let n = 1; this.running; n += 1) {
      const request = {
        function_id: 'faults::order',
        payload: { group, n } satisfies Order,
        action: TriggerAction.Enqueue({ queue: 'orders' }),
        idempotencyKey: `${group}-${n}`,
      }
      // Until it is accepted: after `engine_lost` nobody knows whether it was, and the key makes asking again safe.
      await until(async () => (await client.trigger(request)) !== undefined, 60_000, 20)
      this.groups.get(group)!.accepted.add(n)
      this.findings.acknowledge()
      await until(() => this.groups.get(group)!.answered.size > n - 20 || !this.running, 60_000)
    }
  }

  private take({ frame }: Inbound): unknown {
    const { group: name, n } = frame.data as Order
    const group = this.groups.get(name)!
    this.findings.time('a FIFO group waits for its next job', performance.now() - group.waitingSince, GOAL_MS)
    group.waitingSince = performance.now()
    const first = !group.jobs.has(n)
    const ids = group.jobs.get(n) ?? new Set()
    ids.add(frame.context?.idempotency_key ?? 'none')
    group.jobs.set(n, ids)
    group.delivered.push(n)
    // Now and then a handler is stuck: the lease has to end that.
    if (first && (this.sticking.delete(name) || this.env.random() < 0.02)) return new Promise(() => {})
    group.answered.add(n)
    return null
  }
}
