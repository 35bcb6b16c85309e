import { setTimeout as delay } from 'node:timers/promises'
import type { IIIClient } from '@agentos/sdk'
import type { System } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import { listed } from '../harness/observe.ts'
import { Program } from '../harness/processes.ts'
import type { Row } from '../harness/row.ts'
import { endingOf, until } from '../harness/waits.ts'

const MANY = 50
const LIMIT_MS = 20_000

interface RunEnd {
  status: string
  result?: unknown
}

/** What one of the fifty was told. */
interface Told {
  n: number
  /** `won`, or the code of the error. */
  as: string
}

/**
 * Fifty at once decide about the same thing, over HTTP and over the bus: resume a run in doubt, give it its signal, cancel
 * it, approve or deny a request, use an approval up. One of them wins, the others are told a conflict, and what becomes of
 * it is what the winner said.
 */
export const row: Row = {
  row: 18,
  title: '50 concurrent resumes, approvals, cancels',
  rounds: { full: 20, short: 2 },

  async run(env, findings) {
    const system = await env.system({ workers: ['approval'] })
    const program = new Program('runs', { III_URL: system.wsUrl, AGENTOS_CREDENTIAL: system.ownerToken })
    env.cleanUp(() => program.kill())
    const owner = system.client({ owner: true })
    const race = new Race(system, owner, findings)
    if (!(await until(async () => (await listed(owner, 'faults::')).length === 2, LIMIT_MS))) {
      return findings.hung('the functions of the runs')
    }
    race.serveSink(owner)
    for (let round = 0; round < env.rounds; round += 1) {
      await race.resumes(round)
      await race.signals(round)
      await race.cancels(round)
      await race.signalsAndCancels(round)
      await race.approvals(round)
    }
  },
}

class Race {
  private readonly system: System
  private readonly owner: IIIClient
  private readonly findings: Findings
  private readonly reached = new Map<number, number>()

  constructor(system: System, owner: IIIClient, findings: Findings) {
    this.system = system
    this.owner = owner
    this.findings = findings
  }

  serveSink(client: IIIClient): void {
    client.registerFunction('faults::sink', async ({ round }: { round: number }) => {
      this.reached.set(round, (this.reached.get(round) ?? 0) + 1)
      return 'taken'
    })
  }

  async resumes(round: number): Promise<void> {
    const { findings } = this
    const hanging = this.system.client({ owner: true })
    const begun = Promise.withResolvers<void>()
    hanging.registerFunction('faults::risky', () => {
      begun.resolve()
      return new Promise(() => {})
    })
    await until(async () => (await listed(this.owner, 'faults::risky')).length === 1, LIMIT_MS)
    const runId = await this.begin('faults::doubt', `doubt-${round}`)
    await begun.promise
    await hanging.shutdown()
    if (!(await this.becomes(runId, 'parked'))) return findings.hung(`${runId}: it is not parked`)
    const told = await this.many((n) => this.runRequest(n, runId, 'resume', { answer: 'done', result: n }))
    const [winner] = this.oneOf('resumes', told)
    const end = await this.endOf(runId)
    findings.expect(end.result === winner?.n, `a resumed run has the result ${end.result}, not ${winner?.n}`)
  }

  async signals(round: number): Promise<void> {
    const runId = await this.waiting(`signal-${round}`)
    const told = await this.many((n) => this.runRequest(n, runId, 'signal', { name: 'answer', value: n }))
    const [winner] = this.oneOf('signals', told)
    const { result } = await this.endOf(runId)
    this.findings.expect(result === winner?.n, `a run has the answer ${result}, not ${winner?.n}`)
  }

  async cancels(round: number): Promise<void> {
    const runId = await this.waiting(`cancel-${round}`)
    this.oneOf('cancels', await this.many((n) => this.runRequest(n, runId, 'cancel', {})))
    const { status } = await this.endOf(runId)
    this.findings.expect(status === 'cancelled', `a cancelled run is ${status}`)
  }

  /** The signal may come first and the end of the run after its cancel; a run that was cancelled stays so. */
  async signalsAndCancels(round: number): Promise<void> {
    const { findings } = this
    const runId = await this.waiting(`both-${round}`)
    const signals = (n: number): boolean => n % 2 === 0
    const told = await this.many((n) =>
      signals(n)
        ? this.runRequest(n, runId, 'signal', { name: 'answer', value: n })
        : this.runRequest(n, runId, 'cancel', {}),
    )
    const won = told.filter(({ as }) => as === 'won')
    const [signal, ...moreSignals] = won.filter(({ n }) => signals(n))
    const [cancel, ...moreCancels] = won.filter(({ n }) => !signals(n))
    findings.acknowledge(won.length)
    if (moreSignals.length + moreCancels.length > 0) findings.doubled(`of signals and cancels ${won.length} won`)
    this.losersAreConflicts('signals and cancels', told)
    const { status, result } = await this.endOf(runId)
    findings.expect(won.length > 0, 'of signals and cancels none won')
    findings.expect(
      cancel ? status === 'cancelled' : status === 'done',
      `${cancel ? 'cancelled' : 'signalled'}: ${status}`,
    )
    if (!cancel) findings.expect(result === signal?.n, `a run has the answer ${result}, not ${signal?.n}`)
  }

  async approvals(round: number): Promise<void> {
    const { findings } = this
    const requestId = await this.request(round)
    if (requestId === undefined) return findings.wrong('the call of an agent needed no approval')
    // One round ends with a denial now and then.
    const decision = (n: number): string => (n % 4 === 0 ? 'deny' : 'approve')
    const told = await this.many((n) => {
      const input = { requestId, decision: decision(n) }
      return this.over(n, { function_id: 'approval::decide', path: '/v1/approvals/decide', input })
    })
    const [winner] = this.oneOf('decisions', told)
    if (!winner) return
    const uses = await this.many(() => this.sink(round))
    const used = uses.filter(({ as }) => as === 'won').length
    const expected = decision(winner.n) === 'approve' ? 1 : 0
    const reached = this.reached.get(round) ?? 0
    if (used > expected || reached > expected)
      findings.doubled(`an approval was used ${used} times, ${reached} times done`)
    if (used < expected || reached < expected) findings.lost('an approval let nobody through')
    for (const { as } of uses) {
      const refused = as === 'won' || as === 'approval_required' || as === 'approval_denied'
      findings.expect(refused, `a call without an approval ended with ${as}`)
    }
  }

  // Their requests

  private async request(round: number): Promise<string | undefined> {
    const ending = await endingOf(this.call(round), LIMIT_MS)
    if (!('code' in ending) || ending.code !== 'approval_required') return undefined
    return (ending.error as { details?: { requestId?: string } }).details?.requestId
  }

  private sink(round: number): Promise<string> {
    return codeOf(this.call(round))
  }

  private call(round: number): Promise<unknown> {
    return this.owner.trigger({ function_id: 'faults::sink', payload: { round }, agent: 'racer' } as never)
  }

  private runRequest(n: number, runId: string, verb: string, more: object): Promise<string> {
    const target = { function_id: `engine::runs::${verb}`, path: `/v1/runs/${runId}/${verb}` }
    return this.over(n, { ...target, input: { runId, ...more } })
  }

  /** Every other one over HTTP. */
  private async over(n: number, request: { function_id: string; path: string; input: object }): Promise<string> {
    const { function_id, path, input } = request
    if (n % 2 === 0) return codeOf(this.owner.trigger({ function_id, payload: input }))
    const { status, body } = await this.system.api<{ code?: string }>('POST', path, input, { owner: true })
    if (status === 200) return 'won'
    return status === 409 ? (body.code ?? 'untyped') : `${status} ${body.code}`
  }

  private many(work: (n: number) => Promise<string>): Promise<Told[]> {
    return Promise.all(
      Array.from({ length: MANY }, async (_, n) => ({
        n,
        as: await Promise.race([work(n), delay(LIMIT_MS, 'hung', { ref: false })]),
      })),
    )
  }

  /** The winners: there is one. */
  private oneOf(what: string, told: readonly Told[]): Told[] {
    const won = told.filter(({ as }) => as === 'won')
    if (won.length > 1) this.findings.doubled(`${won.length} of ${MANY} ${what} won`)
    else if (won.length === 0) this.findings.lost(`none of ${MANY} ${what} won`)
    this.findings.acknowledge(won.length)
    this.losersAreConflicts(what, told)
    return won
  }

  private losersAreConflicts(what: string, told: readonly Told[]): void {
    for (const { as } of told) {
      if (as === 'hung') this.findings.hung(`one of ${MANY} ${what}`)
      else this.findings.expect(as === 'won' || as === 'conflict', `one of ${MANY} ${what} was told ${as}`)
    }
  }

  // Their runs

  /** Begins a run that lives on without its caller; returns its id. */
  private async begin(function_id: string, idempotencyKey: string): Promise<string> {
    const before = await this.newest()
    this.owner.trigger({ function_id, payload: {}, idempotencyKey } as never).catch(() => {})
    await until(async () => (await this.newest()) !== before, LIMIT_MS)
    return (await this.newest()) ?? ''
  }

  private async waiting(key: string): Promise<string> {
    const runId = await this.begin('faults::ask', key)
    if (!(await this.becomes(runId, 'waiting'))) this.findings.hung(`${runId}: it does not wait`)
    return runId
  }

  private async newest(): Promise<string | undefined> {
    const payload = { limit: 1 }
    const { runs } = await this.owner.trigger<{ runs: { id: string }[] }>({
      function_id: 'engine::runs::list',
      payload,
    })
    return runs[0]?.id
  }

  private becomes(runId: string, status: string): Promise<boolean> {
    return until(async () => (await this.result(runId, 0)).status === status, LIMIT_MS)
  }

  private async endOf(runId: string): Promise<RunEnd> {
    const end = await this.result(runId, LIMIT_MS)
    if (!['done', 'failed', 'cancelled'].includes(end.status)) this.findings.hung(`${runId} is ${end.status}`)
    return end
  }

  private result(runId: string, waitMs: number): Promise<RunEnd> {
    return this.owner.trigger({ function_id: 'engine::runs::result', payload: { runId, waitMs } })
  }
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  const ending = await endingOf(work, LIMIT_MS)
  if ('hung' in ending) return 'hung'
  return 'value' in ending ? 'won' : ending.code
}
