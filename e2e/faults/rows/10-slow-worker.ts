import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { System } from '@agentos/testing'
import { Client } from '../../../packages/sdk/src/client.ts'
import type { Findings } from '../harness/findings.ts'
import { memoryMb, metric, p99Of } from '../harness/observe.ts'
import type { Row } from '../harness/row.ts'
import { type Ending, endingOf, until } from '../harness/waits.ts'

const [SLOW, FAST] = ['memory::slow_work', 'memory::fast_echo'] as const
const CALLS = 12_000
/** As in the default settings. */
const IN_FLIGHT = { worker: 1_000, realm: 5_000 }
const LIMIT_MS = 60_000
const MEMORY_MB = 200

/**
 * One worker that takes one call after the other, and a realm that asks it for far more than it can do. What waits is
 * bounded, the rest is told to come again later; another realm gets its turn at the same worker, and fast ones at once.
 */
export const row: Row = {
  row: 10,
  title: 'slow worker, 10,000 calls waiting',
  rounds: { full: 10, short: 1 },

  async run(env, findings) {
    const system = await env.system({ workers: ['realm', 'security', 'memory', 'agent-core'] })
    const { body: realm } = await system.api<{ id: string }>('POST', '/v1/realms', { name: 'other' }, { owner: true })
    // What a worker without a manifest registers is reached from its own realm alone: this one is another process of memory.
    const credential = readFileSync(join(system.dataDir, 'credentials/memory'), 'utf8').trim()
    const worker = new Client(system.wsUrl, { credential }, { trouble: () => {} })
    env.cleanUp(() => worker.shutdown())
    const served: string[] = []
    serveSlowly(worker, served)
    worker.registerFunction(FAST, async () => 'here')
    const observer = system.client()
    await until(() => observer.trigger({ function_id: FAST }), LIMIT_MS)
    for (let round = 0; round < env.rounds; round += 1) {
      served.length = 0
      await flood(system, realm.id, served, findings)
    }
  },
}

/** One call at a time, one a millisecond. */
function serveSlowly(worker: Client, served: string[]): void {
  const waiting: (() => void)[] = []
  worker.serve(SLOW, {}, ({ frame }) => {
    const { realm = '' } = frame.context ?? {}
    return new Promise((resolve) => {
      waiting.push(() => {
        served.push(realm)
        resolve(null)
      })
      if (waiting.length === 1) setTimeout(next, 1)
    })
  })
  const next = (): void => {
    waiting.shift()?.()
    if (waiting.length > 0) setTimeout(next, 1)
  }
}

async function flood(system: System, other: string, served: string[], findings: Findings): Promise<void> {
  // The owner's: guests have fewer.
  const caller = system.client({ owner: true })
  const fast = () => p99Of(200, () => caller.trigger({ function_id: FAST }))
  const before = await fast()
  const memory = memoryMb(system.engine.pid)
  const calls = Array.from({ length: CALLS }, () =>
    endingOf(caller.trigger({ function_id: SLOW, payload: {}, timeoutMs: LIMIT_MS }), LIMIT_MS + 5_000),
  )
  await until(async () => (await metric(system, 'agentos_calls_in_flight')) >= IN_FLIGHT.realm, LIMIT_MS, 5)
  const waiting = await metric(system, 'agentos_calls_waiting')
  findings.expect(waiting <= IN_FLIGHT.realm - IN_FLIGHT.worker, `${waiting} calls wait: more than the bound`)
  const servedBefore = served.length
  const theirs = endingOf(
    system.api('POST', '/v1/functions/call', { functionId: SLOW, payload: {} }, { owner: true, realm: other }),
    LIMIT_MS,
  )
  const beside = await system
    .client({ owner: true })
    .trigger({ function_id: FAST })
    .then(() => p99Of(100, () => system.api('GET', '/health')))
  findings.time('p99 of an HTTP request beside it', beside, 100)
  const turn = await theirs
  const ahead = served.indexOf(other) - servedBefore
  if ('hung' in turn || ('value' in turn && turn.value.status !== 200)) findings.hung('the call of the other realm')
  findings.figure('calls of the first realm before the second had its turn', ahead, '', {
    goal: IN_FLIGHT.worker,
    gate: 1.5 * IN_FLIGHT.worker,
  })
  findings.figure('memory with all that waits', memoryMb(system.engine.pid) - memory, 'MB', { gate: MEMORY_MB })
  judge(await Promise.all(calls), findings)
  findings.figure('p99 of a fast call before', before, 'ms')
}

function judge(endings: Ending[], findings: Findings): void {
  let refused = 0
  for (const ending of endings) {
    if ('hung' in ending) findings.hung('a call to the slow worker')
    else if ('value' in ending) findings.acknowledge()
    else {
      refused += 1
      const { details, retryable } = ending.error as { details?: { retryAfterMs?: number }; retryable?: boolean }
      const hinted = ending.code === 'overloaded' && retryable === true && (details?.retryAfterMs ?? 0) > 0
      findings.expect(hinted, `a call was refused with ${String(ending.error)} and no retry hint`)
    }
  }
  findings.figure('calls refused as overloaded, with a retry hint', refused, '')
}
