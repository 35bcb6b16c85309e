import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { createCronModule } from '../../../packages/engine/src/modules/cron/module.ts'
import { TestHost } from '../../../packages/engine/test/host.ts'
import type { Findings } from '../harness/findings.ts'
import { randomFrom } from '../harness/random.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { endingOf, until } from '../harness/waits.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const LIMIT_MS = 40_000

/**
 * The wall clock is set by up to an hour, both ways: thousands of times under the schedules of the simulator, and in a
 * running engine. A due minute that passes is fired, or counted as skipped where later ones passed with it; none is fired
 * twice. Deadlines and leases do not notice.
 */
export const row: Row = {
  row: 12,
  title: 'clock jumps ±1 h',
  rounds: { full: 2_000, short: 20 },
  unit: 'seeds',

  async run(env, findings) {
    const totals = { fired: 0, skipped: 0 }
    for (let seed = env.seed; seed < env.seed + env.rounds; seed += 1) simulate(seed, totals, findings)
    findings.figure('minutes fired in the simulator', totals.fired, '')
    findings.figure('minutes that passed in a jump and were counted as skipped', totals.skipped, '')
    findings.note('after a jump back no time is fired that was served already; what a jump ahead had left out is')
    await runningEngine(env, findings)
  },
}

/** Some hours with a schedule of every minute, and a clock that is set now and then. */
function simulate(seed: number, totals: { fired: number; skipped: number }, findings: Findings): void {
  const random = randomFrom(seed)
  const where = `seed ${seed}`
  const host = new TestHost([createCronModule()])
  const calls = host.handler('minute::tick')
  host.bind('cron', 'minute::tick', { expression: '* * * * *' })
  const began = host.time.now()
  let highest = began
  const pass = (ms: number): void => {
    host.time.advance(ms)
    highest = Math.max(highest, host.time.now())
  }
  for (let step = 0; step < 12; step += 1) {
    pass(Math.floor(random() * 20 * MINUTE_MS))
    host.time.jump(Math.round((2 * random() - 1) * HOUR_MS))
    highest = Math.max(highest, host.time.now())
  }
  // A clock that was set is noticed within half a minute. Where it was set back sooner, what was due in between comes
  // when it gets there again.
  pass(Math.max(0, highest - host.time.now()) + 31_000)
  const times = calls.map(({ input }) => (input as { scheduled_time: string }).scheduled_time)
  for (const time of new Set(times)) {
    const count = times.filter((other) => other === time).length
    if (count > 1) findings.doubled(`the minute ${time} was fired ${count} times, ${where}`)
  }
  const { schedules } = host.value('engine::cron::list', {}, { kind: 'owner' }) as { schedules: { skipped: number }[] }
  const skipped = schedules[0]?.skipped ?? 0
  const due = Math.floor(highest / MINUTE_MS) - Math.floor(began / MINUTE_MS)
  // The last minute may be just passing.
  const missing = due - times.length - skipped
  if (missing > 1) findings.lost(`${missing} due minutes were neither fired nor counted as skipped, ${where}`)
  findings.acknowledge(times.length)
  totals.fired += times.length
  totals.skipped += skipped
}

/** A real process whose `Date` is set while calls with deadlines and a schedule of every second run. */
async function runningEngine(env: RowEnv, findings: Findings): Promise<void> {
  const file = join(env.folder(), 'clock')
  writeFileSync(file, '0')
  const clock = pathToFileURL(join(import.meta.dirname, '../programs/clock.mjs')).href
  const system = await env.engine({ env: { NODE_OPTIONS: `--import=${clock}`, AGENTOS_TEST_CLOCK: file } })
  const client = system.client()
  const fired: string[] = []
  client.registerFunction('clock::tick', async ({ scheduled_time }: { scheduled_time: string }) => {
    fired.push(scheduled_time)
  })
  client.registerFunction('clock::never', () => new Promise(() => {}))
  client.registerTrigger({ type: 'cron', function_id: 'clock::tick', config: { expression: '* * * * * *' } })
  await until(() => fired.length > 0, LIMIT_MS)
  let offset = 0
  let furthest = 0
  for (const jump of env.short ? [HOUR_MS] : [HOUR_MS, -HOUR_MS, HOUR_MS / 2, HOUR_MS]) {
    const call = endingOf(
      client.trigger({ function_id: 'clock::never', deadlineMs: 1_500, timeoutMs: LIMIT_MS }),
      LIMIT_MS,
    )
    const ttl = client.state.set('clock', 'kept', jump)
    await Promise.all([ttl, delay(200)])
    const before = fired.length
    offset += jump
    writeFileSync(file, String(offset))
    process.kill(system.engine.pid, 'SIGUSR2')
    const ending = await call
    if ('hung' in ending) findings.hung('a call with a deadline over a jump')
    else {
      const code = 'code' in ending ? ending.code : 'a value'
      findings.expect(code === 'deadline_exceeded', `a call with a deadline ended with ${code}`)
      findings.expect(ending.ms > 1_000, `a deadline of 1.5 s came after ${ending.ms.toFixed(0)} ms`)
      findings.time('a deadline of 1.5 s over a jump', ending.ms, 2_000)
    }
    if ((await client.state.get('clock', 'kept')) !== jump) findings.lost('a value over a jump')
    else findings.acknowledge()
    // Back in time the same seconds pass again, and are not fired again.
    if (offset <= furthest) continue
    furthest = offset
    if (!(await until(() => fired.length > before + 1, LIMIT_MS))) findings.hung('the schedule after a jump ahead')
  }
  for (const due of new Set(fired)) {
    const count = fired.filter((other) => other === due).length
    if (count > 1) findings.doubled(`the second ${due} was fired ${count} times`)
  }
}
