import * as ledger from '@agentos/contracts/ledger'
import { Cut, type Pattern, type Place, patternOf, type Victim } from '../durable/cut.ts'
import { COST, type JournalStep, MODEL_CALLS, Office } from '../durable/office.ts'
import type { Findings } from '../harness/findings.ts'
import { KILL_POINTS, POINTS, type Point, Trigger } from '../harness/kill-points.ts'
import type { Row } from '../harness/row.ts'
import { until } from '../harness/waits.ts'

const BOOKED_MS = 30_000
/** Steps of an undisturbed chat, and places at which each of the two is killed at each of them, and the router. */
const KILLS = 176

/**
 * One chat of four model calls and four tool calls, again and again: each time the process that runs it, the engine or the
 * router is killed, at another step and another point of it. The chat ends as the undisturbed one does, or asks about the
 * call that must not be repeated; nothing that was journaled is done again; every request to the provider is booked.
 */
export const row: Row = {
  row: 17,
  title: 'durable run, killed at every step',
  rounds: { full: KILLS, short: 6 },
  unit: 'kills',
  instruments: KILL_POINTS,

  async run(env, findings) {
    const trigger = new Trigger(env.folder())
    const office = await Office.open(env, trigger)
    const { pattern, steps } = await undisturbed(office)
    const all = placesOf(steps)
    findings.expect(all.length === KILLS, `there are ${all.length} places to kill at, not ${KILLS}`)
    const places = env.short ? sample(all) : all
    let extra = 0
    let parked = 0
    for (const [n, place] of places.entries()) {
      const task = `task-${n}`
      const cut = new Cut({ office, trigger, findings }, task, place)
      await cut.make(pattern)
      if (cut.wasParked) parked += 1
      extra += Math.max(0, (office.asked.get(task) ?? 0) - MODEL_CALLS)
      if (n % 20 === 19) env.say(`${n + 1} kills`)
    }
    findings.figure('runs that asked about the call in doubt', parked, '')
    findings.expect(parked > 0, 'no kill left a call in doubt')
    findings.figure('requests to the provider beyond those of undisturbed chats', extra, '')
    await judgeLedger(office, findings)
  },
}

async function undisturbed(office: Office): Promise<{ pattern: Pattern; steps: JournalStep[] }> {
  const task = 'undisturbed'
  await office.chat(task)
  const runId = await office.newest()
  const run = await office.run(runId!)
  return { pattern: patternOf(task, run, await office.messages(task)), steps: run.journal }
}

/** Every step at every point that it has: what a process does itself is not sent anywhere. */
function placesOf(steps: readonly JournalStep[]): Place[] {
  const places: Place[] = []
  let models = 0
  const looks = steps.filter(({ name }) => name === 'desk::look').map(({ step }) => step)
  const group = looks[0]?.split('.')[0]
  for (const { step, kind, name } of steps) {
    const call = name === 'llm::complete' ? `model ${models++}` : toolOf(name, looks.indexOf(step))
    const points: readonly Point[] = kind === 'call' ? POINTS : ['after answer', 'after journal']
    const victims: Victim[] = ['agent-core', 'engine', ...(name === 'llm::complete' ? (['llm-router'] as const) : [])]
    for (const point of points) {
      for (const victim of victims) {
        const seen = call === undefined ? {} : { call }
        places.push({ victim, step, name, point, ...seen, looks: step.split('.')[0] === group })
      }
    }
  }
  return places
}

function toolOf(name: string, look: number): string | undefined {
  if (look >= 0) return `look ${'ab'[look]}`
  return name.startsWith('desk::') ? name.slice('desk::'.length) : undefined
}

/** A few that are unlike each other: each point, each process, and the call that must not be repeated. */
function sample(places: readonly Place[]): Place[] {
  const pick = (victim: Victim, call: string, point: Point): Place =>
    places.find((place) => place.victim === victim && place.call === call && place.point === point)!
  return [
    pick('agent-core', 'model 1', 'before send'),
    pick('agent-core', 'post', 'after journal'),
    pick('llm-router', 'model 2', 'after send'),
    pick('engine', 'post', 'after send'),
    pick('engine', 'model 2', 'after answer'),
    pick('engine', 'save', 'after journal'),
  ]
}

/** Nothing stays held, the sums are right, and nothing that the provider was asked is missing. */
async function judgeLedger({ owner, asked }: Office, findings: Findings): Promise<void> {
  const held = async () => (await owner.call(ledger.reservations, {})).open.length
  if (!(await until(async () => (await held()) === 0, BOOKED_MS, 100))) {
    findings.wrong(`${await held()} reservations stay held`)
  }
  const { valid, differences } = await owner.call(ledger.verify, {})
  findings.expect(valid, `the ledger is not the sum of its entries: ${differences.join('; ')}`)
  const { maybeCharged } = await owner.call(ledger.reservations, {})
  const { totalMicroUsd, maybeChargedMicroUsd } = await owner.call(ledger.summary, {})
  const requests = [...asked.values()].reduce((sum, count) => sum + count, 0)
  const booked = (totalMicroUsd - maybeChargedMicroUsd) / COST + maybeCharged.length
  if (booked < requests) findings.lost(`${requests} requests were made, ${booked} are booked`)
  findings.figure('calls booked as maybe charged', maybeCharged.length, '')
}
