import { setTimeout as delay } from 'node:timers/promises'
import type { IIIClient } from '@agentos/sdk'
import type { System } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import { entriesOf, listed, metric } from '../harness/observe.ts'
import { Program } from '../harness/processes.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { endingOf, isTyped, until } from '../harness/waits.ts'
import { type Frame, WirePeer } from '../harness/wire.ts'

const CALLS = 10
const HUNG_MS = 30_000
const BACK_MS = 5_000
const LATE = 'agentos_late_results_total'

/** The answers to the calls that were under way at the freeze, by what was asked. */
type Asked = Map<string, Promise<Frame>>

/**
 * Two processes serve the same function, and one of them stands still with calls under way. Those end with a typed error
 * within two heartbeats, from then on the other serves everything; when the first goes on, its results are counted and
 * nobody is told them, and it takes part again with one connection.
 */
export const row: Row = {
  row: 5,
  title: 'SIGSTOP of a worker',
  rounds: { full: 8, short: 1 },

  async run(env, findings) {
    const [heartbeatMs, frozenMs] = env.short ? [1_000, 3_000] : [5_000, 30_000]
    const system = await env.engine({ config: { agentos: { heartbeat_ms: heartbeatMs } } })
    const client = system.client()
    const caller = await WirePeer.open(system.wsUrl)
    env.cleanUp(() => caller.terminate())
    const programs = [startProgram(env, system), startProgram(env, system)]
    await Promise.all(programs.map((program) => program.wrote('ready')))
    const answered = new Set<string>()
    for (let round = 0; round < env.rounds; round += 1) {
      if (!(await until(async () => (await processes(client)).length === 2, HUNG_MS))) {
        return findings.hung(`both processes, before round ${round}`)
      }
      const [frozen, other] = round % 2 === 0 ? programs : programs.toReversed()
      const parts = { env, system, client, caller, findings, answered, heartbeatMs, frozenMs, name: `r${round}` }
      await new Round(parts, frozen!, other!).run()
    }
    await judgeEffects(client, answered, findings)
    findings.expect((await listed(client, 'faults::early')).length === 1, 'the function is not there')
  },
}

function startProgram(env: RowEnv, system: System): Program {
  const program = new Program('worker', { III_URL: system.wsUrl })
  env.cleanUp(() => program.kill())
  return program
}

interface Parts {
  env: RowEnv
  system: System
  client: IIIClient
  caller: WirePeer
  findings: Findings
  /** Ids of calls that were answered with a result. */
  answered: Set<string>
  heartbeatMs: number
  frozenMs: number
  name: string
}

class Round {
  private readonly parts: Parts
  private readonly frozen: Program
  private readonly other: Program

  constructor(parts: Parts, frozen: Program, other: Program) {
    this.parts = parts
    this.frozen = frozen
    this.other = other
  }

  async run(): Promise<void> {
    const { client, env, findings, frozenMs, name, system } = this.parts
    const { pid } = this.frozen.process
    const late = await metric(system, LATE)
    const asked = this.ask()
    const begun = (program: Program): string[] => [...asked.keys()].filter((id) => program.lines.includes(id))
    const all = () => begun(this.frozen).length + begun(this.other).length === CALLS
    if (!(await until(all, HUNG_MS, 2))) return findings.hung(`${name}: the calls before the freeze`)
    process.kill(pid!, 'SIGSTOP')
    env.cleanUp(() => this.frozen.running && process.kill(pid!, 'SIGCONT'))
    const stoppedAt = performance.now()
    const theirs = begun(this.frozen)
    findings.expect(theirs.length > 0, `${name}: the process that was frozen had no calls`)
    await this.judgeAsked(asked, theirs, stoppedAt)
    await this.othersServe(stoppedAt + frozenMs)
    process.kill(pid!, 'SIGCONT')
    const wentOn = performance.now()
    const names = async () => (await processes(client)).sort().join()
    const both = [this.frozen, this.other].map((program) => `faults-${program.process.pid}`).sort()
    if (await until(async () => (await names()) === both.join(), HUNG_MS)) {
      findings.time('back in rotation', performance.now() - wentOn, BACK_MS)
    } else findings.hung(`${name}: connections are ${await names()}, not ${both.join()}`)
    const counted = async () => (await metric(system, LATE)) - late
    await until(async () => (await counted()) >= theirs.length, HUNG_MS)
    const count = await counted()
    findings.expect(count === theirs.length, `${name}: ${count} late results were counted, not ${theirs.length}`)
    await this.parts.caller.flushed()
    for (const frames of this.parts.caller.answers.values()) {
      if (frames.length > 1) findings.doubled(`${name}: a call was answered ${frames.length} times`)
    }
    this.parts.caller.answers.clear()
  }

  /** Calls that are still under way when the process is stopped, however late that is. */
  private ask(): Asked {
    const { caller, heartbeatMs, name } = this.parts
    const asked: Asked = new Map()
    for (let n = 0; n < CALLS; n += 1) {
      const id = `${name}-${n}`
      asked.set(id, caller.call('faults::early', { id, holdMs: 1.5 * heartbeatMs }, { deadline_ms: 10 * heartbeatMs }))
    }
    return asked
  }

  private async judgeAsked(asked: Asked, theirs: readonly string[], stoppedAt: number): Promise<void> {
    const { answered, findings, heartbeatMs, name } = this.parts
    const judgeOne = async (id: string, answer: Promise<Frame>): Promise<void> => {
      const ending = await endingOf(answer, HUNG_MS)
      if (!('value' in ending)) return findings.hung(`${name}: ${id}`)
      const { error } = ending.value
      if (!theirs.includes(id)) {
        findings.expect(error === undefined, `${name}: a call of the other process failed: ${error?.code}`)
        answered.add(id)
        return findings.acknowledge()
      }
      findings.time('a call of the frozen process ended', performance.now() - stoppedAt, 2 * heartbeatMs)
      findings.expect(error !== undefined && isTyped(error.code), `${name}: ${id} was answered by a frozen process`)
    }
    await Promise.all([...asked].map(([id, answer]) => judgeOne(id, answer)))
  }

  /** From when it is out of rotation until it goes on. */
  private async othersServe(until_: number): Promise<void> {
    const { answered, client, findings, name } = this.parts
    const before = this.frozen.lines.length
    for (let n = 0; performance.now() < until_; n += 1) {
      const id = `${name}-during-${n}`
      const call = client.trigger({ function_id: 'faults::early', payload: { id, holdMs: 0 } })
      const ending = await endingOf(call, HUNG_MS)
      if ('hung' in ending) findings.hung(`${name}: a call during the freeze`)
      else if ('code' in ending) findings.wrong(`${name}: a call during the freeze ended with ${ending.code}`)
      else {
        answered.add(id)
        findings.acknowledge()
      }
      await delay(20)
    }
    findings.expect(this.frozen.lines.length === before, `${name}: the frozen process was given calls`)
  }
}

/** Names of the connections that serve, each as often as it has one. */
async function processes(client: IIIClient): Promise<string[]> {
  const { workers } = await client.trigger<{ workers: { name: string; functions: string[] }[] }>({
    function_id: 'engine::workers::list',
    payload: {},
  })
  return workers.filter(({ functions }) => functions.includes('faults::early')).map(({ name }) => name)
}

/** Each answered call has its effect once; one that was cut off has it at most once. */
async function judgeEffects(client: IIIClient, answered: Set<string>, findings: Findings): Promise<void> {
  const entries = await entriesOf<{ runs: number }>(client, 'faults-early')
  for (const id of answered) if (!entries.has(id)) findings.lost(`${id} was answered, and its effect is not there`)
  for (const { key, value } of entries.values()) {
    if (value.runs !== 1) findings.doubled(`the call ${key} had its effect ${value.runs} times`)
  }
}
