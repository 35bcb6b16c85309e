import { setTimeout as delay } from 'node:timers/promises'
import { type IIIClient, registerWorker } from '@agentos/sdk'
import { startCutProxy } from '@agentos/testing'
import type { Row } from '../harness/row.ts'
import { endingOf, isTyped, until } from '../harness/waits.ts'

const WORKERS = 20
const BACK_MS = 2_000
const LIMIT_MS = 30_000

/**
 * The engine stands still, with calls under way, a schedule of every second, and half of the workers cut off, which knock
 * all the while. When it goes on, every worker is there with one connection, every call has ended, and no due second
 * was served twice.
 */
export const row: Row = {
  row: 6,
  title: 'SIGSTOP of the engine',
  rounds: { full: 10, short: 1 },

  async run(env, findings) {
    const frozenMs = env.short ? 3_000 : 10_000
    const system = await env.engine()
    const proxy = await startCutProxy(system.wsUrl)
    env.cleanUp(() => proxy.close())
    const workers = Array.from({ length: WORKERS }, (_, n) => {
      const worker = registerWorker(n % 2 === 0 ? proxy.url : system.wsUrl, { workerName: nameOf(n) })
      env.cleanUp(() => worker.shutdown())
      worker.registerFunction(`frozen::f${n}`, async () => n)
      worker.registerFunction(`frozen::slow${n}`, () => delay(400, n))
      return worker
    })
    const firings = new Map<string, number>()
    workers[0]!.registerFunction('frozen::tick', async ({ scheduled_time: due }: { scheduled_time: string }) => {
      firings.set(due, (firings.get(due) ?? 0) + 1)
    })
    workers[0]!.registerTrigger({ type: 'cron', function_id: 'frozen::tick', config: { expression: '* * * * * *' } })
    const caller = system.client()
    const whole = async (): Promise<boolean> => {
      const counts = await connectionsOf(caller)
      if (workers.some((_worker, n) => counts.get(nameOf(n)) !== 1)) return false
      const answers = await Promise.all(workers.map((_worker, n) => callOf(caller, `frozen::f${n}`)))
      return answers.every((value, n) => value === n)
    }
    if (!(await until(whole, LIMIT_MS, 20))) return findings.hung('the workers before the first freeze')
    await until(() => firings.size > 0, LIMIT_MS)
    for (let round = 0; round < env.rounds; round += 1) {
      const calls = workers.map((_worker, n) =>
        endingOf(callOf(caller, `frozen::slow${n}`, { timeoutMs: frozenMs + 5_000 }), LIMIT_MS),
      )
      const short = endingOf(callOf(caller, 'frozen::slow1', { deadlineMs: 1_000 }), LIMIT_MS)
      await delay(env.between(0, 300))
      process.kill(system.engine.pid, 'SIGSTOP')
      env.cleanUp(() => system.engine.running && process.kill(system.engine.pid, 'SIGCONT'))
      proxy.cut('both')
      await delay(frozenMs)
      process.kill(system.engine.pid, 'SIGCONT')
      const began = performance.now()
      if (!(await until(whole, LIMIT_MS, 20))) {
        const counts = await connectionsOf(caller)
        findings.hung(`one connection for each worker: ${JSON.stringify([...counts])}`)
      }
      findings.time('all workers served again', performance.now() - began, BACK_MS)
      for (const ending of await Promise.all([...calls, short])) {
        if ('hung' in ending) findings.hung('a call over the freeze')
        else if ('value' in ending) findings.acknowledge()
        else findings.expect(isTyped(ending.code), `a call over the freeze ended with ${String(ending.error)}`)
      }
    }
    await delay(1_500)
    for (const [due, runs] of firings) {
      if (runs > 1) findings.doubled(`the second ${due} of the schedule was fired ${runs} times`)
    }
    findings.figure('due seconds fired', firings.size, '')
  },
}

const nameOf = (n: number): string => `frozen-${n}`

function callOf(caller: IIIClient, function_id: string, more: object = {}): Promise<unknown> {
  return caller.trigger({ function_id, payload: {}, ...more })
}

/** How many connections there are of each name. */
async function connectionsOf(caller: IIIClient): Promise<Map<string, number>> {
  const { workers } = (await callOf(caller, 'engine::workers::list')) as { workers: { name: string }[] }
  const counts = new Map<string, number>()
  for (const { name } of workers) if (name.startsWith('frozen-')) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}
