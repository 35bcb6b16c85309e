import { setTimeout as delay } from 'node:timers/promises'
import type { Contestant, Ending } from './contestant.ts'
import { type KillPoint, killPointOf } from './kill-point.ts'
import { STEPS } from './task.ts'
import { type Verdict, verdictOf } from './verdict.ts'
import type { World } from './world.ts'

/** What does not end within this time after the restart does not end. */
const LIMIT_MS = 30_000
/** Draws of a kill point until one hits the run before it is over. */
const DRAWS = 20
const CALIBRATION_RUNS = 3

/** Runs the task so often, and pulls the plug once in each run. */
export async function tryOut(
  contestant: Contestant,
  world: World,
  { runs, seed }: { runs: number; seed: number },
  report: (verdict: Verdict) => void,
): Promise<void> {
  await contestant.start()
  const gapMs = await usualGap(contestant, world)
  for (let run = 0; run < runs; run += 1) {
    for (let draw = 0; draw < DRAWS; draw += 1) {
      const verdict = await oneRun(contestant, world, `run-${run}-${draw}`, killPointOf(seed, run, draw), gapMs)
      if (!verdict) continue
      report(verdict)
      break
    }
  }
}

/** Milliseconds between two requests of a run that nobody disturbs. */
async function usualGap(contestant: Contestant, world: World): Promise<number> {
  const times: number[] = []
  for (let run = 0; run < CALIBRATION_RUNS; run += 1) {
    const begin = performance.now()
    const ending = await contestant.run(`undisturbed-${run}`)
    const seen = world.seen(`undisturbed-${run}`)
    if (ending.how !== 'finished' || seen.modelRequests !== STEPS || seen.effects.length !== 6) {
      throw new Error(`${contestant.name} does not do the task: ${JSON.stringify(ending)}\n${seen.log.join('\n')}`)
    }
    times.push(performance.now() - begin)
  }
  return Math.min(...times) / (2 * STEPS)
}

/** `undefined` where the run was over before it was hit. */
async function oneRun(
  contestant: Contestant,
  world: World,
  task: string,
  point: KillPoint,
  gapMs: number,
): Promise<Verdict | undefined> {
  let early: Ending | undefined
  const first = contestant.run(task).then(
    (ending) => {
      early = ending
    },
    // It lost sight of the run, as it should once the plug is pulled.
    () => {},
  )
  await Promise.race([arrival(world, task, point.request), first])
  await Promise.race([delay(point.wait * gapMs), first])
  if (early?.how === 'finished') return undefined
  // It failed with nobody's help: that counts.
  if (early) return verdictOf({ task, killed: 'nothing', ending: early, seen: world.seen(task) })
  const what = await contestant.kill(point.share)
  world.note(task, `kill -9 of ${what}`)
  await contestant.start()
  world.note(task, 'started again')
  const ending = await within(contestant.run(task))
  if (ending === 'stuck') await restart(contestant)
  const settled = await settle(contestant, world, task, ending)
  const killed = `${what}, ${(point.wait * gapMs).toFixed(0)} ms after request ${point.request}`
  return verdictOf({ task, killed, ending, settled, seen: world.seen(task) })
}

function arrival(world: World, task: string, request: number): Promise<void> {
  if (request === 0) return Promise.resolve()
  return new Promise((resolve) => {
    world.onRequest = (of, count) => {
      if (of === task && count >= request) resolve()
    }
  })
}

/** A parked run asks a person, who looks at the world and says what happened. */
async function settle(
  contestant: Contestant,
  world: World,
  task: string,
  ending: Ending | 'stuck',
): Promise<Ending | 'stuck' | undefined> {
  if (ending === 'stuck' || ending.how !== 'parked' || !contestant.settle) return undefined
  const { step, tool } = JSON.parse(ending.question) as { step: number; tool: string }
  const tookPlace = world.seen(task).effects.some((effect) => effect.tool === tool && effect.step === step)
  world.note(task, `parked; a person answers that ${tool} of step ${step} ${tookPlace ? 'took' : 'did not take'} place`)
  return within(contestant.settle(task, tookPlace))
}

async function restart(contestant: Contestant): Promise<void> {
  await contestant.stop()
  await contestant.start()
}

async function within(work: Promise<Ending>): Promise<Ending | 'stuck'> {
  const controller = new AbortController()
  const limit = delay(LIMIT_MS, 'stuck' as const, { signal: controller.signal }).catch(() => 'stuck' as const)
  try {
    return await Promise.race([work, limit])
  } catch (error) {
    return { how: 'failed', error: error instanceof Error ? error.message : String(error) }
  } finally {
    controller.abort()
  }
}
