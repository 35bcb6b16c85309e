import { readdirSync, readFileSync } from 'node:fs'
import { Supervised } from '@agentos/testing'
import { ALL_WORKERS } from '../../support/all-workers.ts'
import { descriptorsOf } from '../harness/observe.ts'
import type { Row } from '../harness/row.ts'
import { until } from '../harness/waits.ts'

const LIMIT_MS = 60_000
/** Eight workers; the goal of quality.md is for sixty-five. */
const GOAL_MS = 6_000

/** All workers are killed at once, under their supervisor: all functions come back, no process stays, no descriptor leaks. */
export const row: Row = {
  row: 21,
  title: 'all workers restarted together',
  rounds: { full: 20, short: 1 },
  unavailable: () => (process.platform === 'linux' ? undefined : 'processes are looked up in /proc'),

  async run(env, findings) {
    // All of them, whatever their manifests say: what sleeps is not restarted.
    const system = await Supervised.start({ workers: ALL_WORKERS, manifests: { toolbox: { start: 'always' } } })
    env.cleanUp(() => system.stop())
    const workers = async () => (await system.processes()).filter(({ name }) => name !== 'engine')
    const served = async (): Promise<string> => {
      const { body } = await system.api<{ functions: { id: string; up: boolean }[] }>('GET', '/v1/engine/functions')
      const ids = body.functions.filter(({ up }) => up).map(({ id }) => id)
      return ids.sort().join()
    }
    // A start is over before the last function is registered.
    const whole = async () => {
      const { body } = await system.api<{ functions: { up: boolean }[] }>('GET', '/v1/engine/functions')
      return body.functions.every(({ up }) => up) && (await workers()).every(({ state }) => state === 'up')
    }
    if (!(await until(whole, LIMIT_MS, 20))) return findings.hung('all workers, before the first round')
    const everything = await served()
    const engine = (await system.process('engine'))!.pid!
    const owner = system.client({ owner: true })
    let settled: number | undefined
    for (let round = 0; round < env.rounds; round += 1) {
      const before = new Set((await workers()).map(({ pid }) => pid))
      const began = performance.now()
      // By turns: an orderly restart also clears the count of crashes, after five of which a worker is held.
      if (round % 2 === 0) for (const pid of before) process.kill(pid!, 'SIGKILL')
      else {
        const restart = (name: string) => owner.trigger({ function_id: 'engine::workers::restart', payload: { name } })
        await Promise.all(ALL_WORKERS.map(restart))
      }
      const anew = async () => (await workers()).every(({ pid, state }) => !before.has(pid) && state === 'up')
      const back = async () => (await anew()) && (await served()) === everything
      if (!(await until(back, LIMIT_MS, 20))) return findings.hung(`all workers, in round ${round}`)
      findings.time('all workers registered again', performance.now() - began, GOAL_MS)
      findings.acknowledge(ALL_WORKERS.length)
      const expected = [engine, ...(await workers()).map(({ pid }) => pid!)].sort().join()
      if (!(await until(() => running(system).sort().join() === expected, LIMIT_MS, 50))) {
        findings.wrong(`processes are left in round ${round}`)
      }
      // After the first round every module has opened what it ever opens.
      settled ??= descriptorsOf(engine)
      const most = settled
      if (!(await until(() => descriptorsOf(engine) <= most, LIMIT_MS, 50))) {
        findings.wrong(`the engine has ${descriptorsOf(engine)} descriptors, ${most} after the first round`)
      }
    }
    findings.figure('descriptors of the engine', descriptorsOf(engine), '')
  },
}

/** Processes of this installation, by their command line, beside the supervisor. */
function running(system: Supervised): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandLine(pid).some((word) => word.startsWith(`${system.root}/dist/`)))
    .map(Number)
    .filter((pid) => pid !== system.pid)
}

function commandLine(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}
