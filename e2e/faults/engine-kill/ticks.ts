import type { Client } from '../../../packages/sdk/src/client.ts'
import type { Findings } from '../harness/findings.ts'
import { until } from '../harness/waits.ts'

/** Far enough apart that a firing comes again before the next one takes its place. */
const EVERY = '*/10 * * * * *'

/** A schedule each of whose firings is killed in the middle of its first run. */
export class Ticks {
  private readonly runs = new Map<string, number>()
  /** Stood still in their first run. */
  private readonly cutOff = new Set<string>()
  private readonly done = new Set<string>()
  private readonly findings: Findings
  private standsStill = true

  constructor(findings: Findings) {
    this.findings = findings
  }

  serve(worker: Client): void {
    worker.serve('faults::tick', {}, ({ frame }) => {
      const { scheduled_time: due } = frame.data as { scheduled_time: string }
      const runs = (this.runs.get(due) ?? 0) + 1
      this.runs.set(due, runs)
      if (runs === 1 && this.standsStill) {
        this.cutOff.add(due)
        return new Promise(() => {})
      }
      this.done.add(due)
      return null
    })
    worker.registerTrigger({ type: 'cron', function_id: 'faults::tick', config: { expression: EVERY } })
  }

  /** After the kill that comes now there is none: what begins from now on would stand still for ever. */
  lastKill(): void {
    this.standsStill = false
  }

  /** Some firing is in the middle of its first run. */
  get running(): boolean {
    return [...this.cutOff].some((due) => !this.done.has(due))
  }

  async started(): Promise<void> {
    const seen = this.runs.size
    await until(() => this.runs.size > seen || this.running, 15_000)
  }

  async judge(): Promise<void> {
    await until(() => !this.running, 30_000)
    for (const due of this.cutOff) {
      if (!this.done.has(due)) this.findings.lost(`the firing of ${due} was cut off by a kill and never came again`)
    }
    const again = [...this.cutOff].filter((due) => this.done.has(due)).length
    this.findings.expect(again > 0, 'no firing was cut off by a kill')
    this.findings.figure('cron firings that were cut off and came again', again, '')
  }
}
