import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Findings } from '../harness/findings.ts'
import { entriesOf } from '../harness/observe.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { until } from '../harness/waits.ts'
import { type Frame, WirePeer } from '../harness/wire.ts'

const LIMIT_MS = 10_000
/** Long after the deadline: an engine that stands still for a moment sees a result and its deadline at once. */
const LATE_MS = 500
/** Frames that are shuffled together. */
const WINDOW = 20

interface Asked {
  id: string
  kind: 'worker' | 'state' | 'late'
}

/**
 * A caller and two workers whose frames come twice and out of order: calls, their results, registrations. Some results
 * come after the deadline of their call, some from a worker that was not asked. Each call is executed once and answered
 * once, by the worker that has it.
 */
export const row: Row = {
  row: 13,
  title: 'duplicated and reordered frames',
  rounds: { full: 20_000, short: 600 },
  unit: 'calls',

  async run(env, findings) {
    const system = await env.engine()
    const caller = await WirePeer.open(system.wsUrl)
    const worker = await openWorker(env, system.wsUrl)
    const stranger = await WirePeer.open(system.wsUrl)
    env.cleanUp(() => [caller, worker, stranger].forEach((peer) => void peer.terminate()))
    // Whoever sees the ids of others' calls cannot answer them.
    const forge = ({ invocation_id, function_id }: Frame): void =>
      stranger.send({ type: 'invocationresult', invocation_id, function_id, result: 'forged' })
    worker.socket.on('message', (data) => {
      const frame = JSON.parse(String(data)) as Frame
      if (frame.type === 'invokefunction') forge(frame)
    })
    const asked: Asked[] = []
    for (let n = 0; n < env.rounds; n += WINDOW) {
      const frames: object[] = []
      for (let index = 0; index < WINDOW; index += 1) {
        const call = callOf(env, n + index)
        asked.push(call.asked)
        frames.push(call.frame, call.frame)
      }
      const registration = { type: 'registerfunction', id: 'twice::work' }
      worker.send(registration)
      worker.send(registration)
      for (const frame of shuffled(env, frames)) caller.send(frame)
      const answered = () => asked.slice(n).every(({ id }) => caller.answers.has(id))
      if (!(await until(answered, LIMIT_MS, 1))) findings.hung(`calls ${n} to ${n + WINDOW}`)
    }
    // Late results, and whatever would be a second answer.
    await delay(2 * LATE_MS)
    await Promise.all([caller.flushed(), worker.flushed(), stranger.flushed()])
    judge(asked, caller, worker, findings)
    await judgeState(asked, system.client(), findings)
  },
}

/** Answers each call twice; one whose data says so after its deadline. */
async function openWorker(env: RowEnv, url: string): Promise<WirePeer> {
  const worker = await WirePeer.open(url)
  worker.serve('twice::work', (frame) => {
    const { id, late } = frame.data as { id: string; late?: boolean }
    const answer = (): void => {
      worker.answer(frame, id)
      worker.answer(frame, 'the second answer')
    }
    if (late) setTimeout(answer, LATE_MS)
    else if (env.random() < 0.5) answer()
    else setTimeout(answer, env.between(0, 5))
  })
  await worker.flushed()
  return worker
}

function callOf(env: RowEnv, n: number): { asked: Asked; frame: object } {
  const id = randomUUID()
  const dice = env.random()
  const head = { type: 'invokefunction', invocation_id: id }
  if (dice < 0.3) {
    const ops = [{ type: 'increment', path: 'n', by: 1 }]
    const data = { scope: 'twice', key: id, ops }
    return { asked: { id, kind: 'state' }, frame: { ...head, function_id: 'state::update', data } }
  }
  const late = dice < 0.4
  const data = { id, n, ...(late ? { late } : {}) }
  const frame = { ...head, function_id: 'twice::work', data, ...(late ? { deadline_ms: 30 } : {}) }
  return { asked: { id, kind: late ? 'late' : 'worker' }, frame }
}

function judge(asked: Asked[], caller: WirePeer, worker: WirePeer, findings: Findings): void {
  const runs = new Map<string, number>()
  for (const { data } of worker.served) {
    const { id } = data as { id: string }
    runs.set(id, (runs.get(id) ?? 0) + 1)
  }
  for (const { id, kind } of asked) {
    const answers = caller.answers.get(id) ?? []
    const [first] = answers
    if (first) findings.acknowledge()
    if (answers.length > 1) findings.doubled(`a call (${kind}) was answered ${answers.length} times`)
    if (kind === 'state') continue
    if ((runs.get(id) ?? 0) > 1) findings.doubled(`a call (${kind}) was executed ${runs.get(id)} times`)
    const right = kind === 'late' ? first?.error?.code === 'deadline_exceeded' : first?.result === id
    if (first && !right) findings.wrong(`a call (${kind}) was answered ${JSON.stringify(first.result ?? first.error)}`)
  }
}

async function judgeState(asked: Asked[], client: Parameters<typeof entriesOf>[0], findings: Findings): Promise<void> {
  const entries = await entriesOf<{ n: number }>(client, 'twice')
  for (const { id, kind } of asked) {
    if (kind !== 'state') continue
    const entry = entries.get(id)
    if (!entry) findings.lost('an update that was answered')
    else if (entry.value.n !== 1) findings.doubled(`an update was applied ${entry.value.n} times`)
  }
}

function shuffled<T>(env: RowEnv, items: T[]): T[] {
  const result = [...items]
  for (let index = result.length - 1; index > 0; index -= 1) {
    const other = env.between(0, index)
    ;[result[index], result[other]] = [result[other]!, result[index]!]
  }
  return result
}
