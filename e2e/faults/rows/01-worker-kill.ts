import { setTimeout as delay } from 'node:timers/promises'
import { type IIIClient, TriggerAction } from '@agentos/sdk'
import type { System } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import { entriesOf } from '../harness/observe.ts'
import { Program } from '../harness/processes.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { type Ending, endingOf, isTyped, until } from '../harness/waits.ts'

/** From the kill to an error or the retry's result. */
const GOAL_MS = 1_000
const HUNG_MS = 10_000
/** So many kills look as if a job made them: the last of each waits up to 30 s, and a minute long one a second goes. */
const DRAINED_MS = 180_000
const QUEUE = { max_retries: 20, backoff_ms: 50, concurrency: 50 }

/** What the client was told, for the comparison at the end. */
interface Log {
  /** Calls that ended because their process was killed. */
  cutOff: number
  /** Calls that answered, by id. */
  plain: Set<string>
  keyed: Set<string>
  /** Jobs that were accepted. */
  jobs: Set<string>
}

/**
 * Two processes serve the same functions. Each round starts plain calls, calls with an idempotency key, calls with `retry`
 * and jobs, and kills one of the processes in the middle of them: their callers hear of it at once, a key stands for one
 * effect, retries and jobs end on the other.
 */
export const row: Row = {
  row: 1,
  title: 'kill -9 of a worker in mid-call',
  rounds: { full: 500, short: 6 },

  async run(env, findings) {
    const system = await env.engine({
      config: { workers: [{ name: 'iii-queue', config: { queue_configs: { faults: QUEUE } } }] },
    })
    const client = system.client()
    const log: Log = { cutOff: 0, plain: new Set(), keyed: new Set(), jobs: new Set() }
    const start = async (): Promise<Program> => {
      const program = new Program('worker', { III_URL: system.wsUrl })
      env.cleanUp(() => program.kill())
      await program.wrote('ready')
      return program
    }
    let [victim, other] = await Promise.all([start(), start()])
    for (let round = 0; round < env.rounds; round += 1) {
      const next = start()
      await new Round({ env, client, name: String(round), log, findings }).run(victim)
      victim = other
      other = await next
    }
    await judge(system, client, log, findings)
  },
}

/** The calls of one round, and what their caller is told. */
class Round {
  private readonly calls: Promise<unknown>[] = []
  private readonly parts: { env: RowEnv; client: IIIClient; name: string; log: Log; findings: Findings }
  private killedAt = Number.POSITIVE_INFINITY

  constructor(parts: { env: RowEnv; client: IIIClient; name: string; log: Log; findings: Findings }) {
    this.parts = parts
  }

  /** Starts everything, kills the process soon after its first call has arrived, and waits for every ending. */
  async run(victim: Program): Promise<void> {
    const { env, name, findings } = this.parts
    const began = victim.lines.length
    for (let n = 0; n < 4; n += 1) this.startPlain(`${name}-plain-${n}`)
    for (let n = 0; n < 4; n += 1) this.startOnce(`${name}-once-${n}`)
    for (let n = 0; n < 4; n += 1) this.startKeyed(`${name}-keyed-${n}`)
    for (let n = 0; n < 4; n += 1) this.startJob(`${name}-job-${n}`)
    if (!(await until(() => victim.lines.length > began, HUNG_MS, 1))) {
      findings.wrong(`round ${name}: the process that is to be killed was given nothing`)
    }
    await delay(env.random() < 0.5 ? 0 : env.between(0, 100))
    this.killedAt = performance.now()
    await victim.kill()
    await Promise.all(this.calls)
  }

  private startPlain(id: string): void {
    const { client, log, findings } = this.parts
    const call = client.trigger({ function_id: 'faults::plain', payload: this.work(id) })
    this.follow('a call', id, call, (ending) => {
      if ('value' in ending) log.plain.add(id)
      else if ('code' in ending) {
        log.cutOff += 1
        findings.expect(isTyped(ending.code), `${id}: ${String(ending.error)}`)
      }
    })
  }

  /** Under one idempotency key again and again, whatever the first was told: it has its effect once. */
  private startOnce(id: string): void {
    const { client, log, findings } = this.parts
    const payload = this.work(id)
    const call = () => client.trigger({ function_id: 'faults::plain', payload, idempotencyKey: id } as never)
    const first = call()
    this.follow('a call with a key', id, first, (ending) => {
      if ('value' in ending) log.plain.add(id)
    })
    const again = async (): Promise<void> => {
      const { value: told } = (await endingOf(first, HUNG_MS)) as { value?: unknown }
      for (const ending of await Promise.all([endingOf(call(), HUNG_MS), endingOf(call(), HUNG_MS)])) {
        if ('hung' in ending) findings.hung(`a call with a key, made again: ${id}`)
        else if ('value' in ending) log.plain.add(id)
        else {
          const asked = told === undefined && isTyped(ending.code)
          findings.expect(asked, `${id} was answered, and made again it ended with ${String(ending.error)}`)
        }
      }
    }
    this.calls.push(again())
  }

  private startKeyed(id: string): void {
    const { client, log, findings } = this.parts
    const retry = { max: 10, backoffMs: 20 }
    const call = client.trigger({ function_id: 'faults::keyed', payload: this.work(id), retry })
    this.follow('a call with retry', id, call, (ending) => {
      if ('value' in ending) log.keyed.add(id)
      else if ('code' in ending) findings.wrong(`${id} was not answered by its retry: ${String(ending.error)}`)
    })
  }

  private startJob(id: string): void {
    const { client, log } = this.parts
    const action = TriggerAction.Enqueue({ queue: 'faults' })
    const call = client.trigger({ function_id: 'faults::keyed', payload: this.work(id), action })
    this.follow('an enqueue', id, call, (ending) => {
      if ('value' in ending) log.jobs.add(id)
    })
  }

  private work(id: string): { id: string; holdMs: number } {
    const { env } = this.parts
    // With few rounds, one kill at least has to fall into a call.
    return { id, holdMs: env.short ? env.between(20, 250) : env.between(5, 60) }
  }

  private follow(name: string, id: string, call: Promise<unknown>, ended: (ending: Ending) => void): void {
    const { findings } = this.parts
    const follow = async (): Promise<void> => {
      const ending = await endingOf(call, HUNG_MS)
      const sinceKill = performance.now() - this.killedAt
      if ('hung' in ending) findings.hung(`${name} ${id}`)
      else if (sinceKill > 0) findings.time(`${name} ended after the kill`, sinceKill, GOAL_MS)
      if ('value' in ending) findings.acknowledge()
      ended(ending)
    }
    this.calls.push(follow())
  }
}

async function judge(system: System, client: IIIClient, log: Log, findings: Findings): Promise<void> {
  const stats = () =>
    client.trigger<{ depth: number; dlq_depth: number }>({
      function_id: 'engine::queue::topic_stats',
      payload: { topic: 'faults' },
    })
  const drained = await until(async () => (await stats()).depth === 0, DRAINED_MS, 50)
  const { depth, dlq_depth } = await stats()
  if (!drained) findings.hung(`${depth} jobs are still in the queue`)
  findings.expect(dlq_depth === 0, `${dlq_depth} jobs are dead letters`)
  const plain = await entriesOf<{ runs: number }>(client, 'faults-plain')
  const keyed = await entriesOf(client, 'faults-keyed')
  for (const id of log.plain) if (!plain.has(id)) findings.lost(`${id} was answered, and its effect is not there`)
  for (const id of [...log.keyed, ...log.jobs]) {
    if (!keyed.has(id)) findings.lost(`${id} was answered or accepted, and its effect is not there`)
  }
  for (const { key, value } of plain.values()) {
    if (value.runs !== 1) findings.doubled(`the call ${key} ran ${value.runs} times`)
  }
  for (const { key, version } of keyed.values()) {
    if (version !== 1) findings.doubled(`the key ${key} was taken ${version} times`)
  }
  findings.figure('calls that lost their worker', log.cutOff, '')
  findings.expect(log.cutOff > 0, 'no kill fell into a call')
  findings.expect(system.engine.running, 'the engine ended')
}
