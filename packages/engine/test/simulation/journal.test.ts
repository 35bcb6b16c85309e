import { EngineError, isRetryable } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { Catalogue } from '../../src/core/catalogue.ts'
import type { Grant } from '../../src/core/connection.ts'
import { Core } from '../../src/core/core.ts'
import type { Timers } from '../../src/core/ports.ts'
import { createEngineModule } from '../../src/modules/engine/functions.ts'
import type { Entry } from '../../src/modules/journal/entry.ts'
import { createJournalModule } from '../../src/modules/journal/module.ts'
import { createStateModule } from '../../src/modules/state/module.ts'
import { MemoryDisk, MemoryStore } from '../../src/store/memory-store.ts'
import { installed } from '../peers.ts'
import { ApprovalGate } from './approval-gate.ts'
import { ERROR, FlowProcess, type Frame, type PlanStep } from './flow-process.ts'
import { QueueClient } from './queue-client.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 100)
const FIRST_SEED = Number(process.env.SIMULATION_SEED ?? 1)
const CHAOS_MS = 2_500
const CALM_MS = CHAOS_MS + 90_000
const AGAIN_MS = 20_000

const OWNER: Grant = { principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' }
const TOOL: Grant = { principal: { kind: 'system', id: 'tool' }, realm: 'system', worker: 'tool' }
const TOOLS = [
  { id: 'tool::read', effects: 'read' },
  { id: 'tool::keyed', effects: 'external', keyed: true },
  { id: 'tool::send', effects: 'external' },
  { id: 'tool::gated', effects: 'external' },
  { id: 'tool::mail', effects: 'external' },
] as const
const REPEATABLE = new Set<string>(['tool::read', 'tool::keyed'])
/** Counts in the engine's own state how often each step wrote. */
const WRITE = 'state::update'
/** What an agent asks for: each call of it waits for the gate. */
const CHOSEN = 'tool::mail'
const WORKERS = [
  installed('flow', [{ id: 'flow::run', durable: true }], { speaksForAgents: true }),
  installed('tool', [...TOOLS]),
  installed('approval', [{ id: 'approval::gate', access: 'owner' }], { gate: 'approval::gate' }),
]
/** Who joins with one is told the run from its beginning. */
const STREAM = { channel_id: 'channel', access_key: 'key', direction: 'write' }
const FEATURES = {
  type: 'invokefunction',
  function_id: 'engine::workers::register',
  data: { features: ['cancel'] },
  action: { type: 'void' },
}

interface Asked {
  n: number
  keyed: boolean
  strict: boolean
  plan: PlanStep[]
}

interface RunView {
  id: string
  status: string
  attempts: number
  reason?: string
  question?: { step: string; signal?: string; function?: string }
  result?: unknown
  error?: { code: string }
  journal: { step: string; name: string; status: string }[]
}

/** Callers, processes that run and processes that do, a person who decides, and an engine that is killed with what it had not yet committed. */
class RunWorld {
  readonly wrong: string[] = []
  /** Results that callers were told, by the number of the call. */
  readonly answers = new Map<number, unknown>()
  /** Run of each call that reached a process. */
  readonly runs = new Map<string, number>()
  readonly asked = new Map<number, Asked>()
  readonly attempts = new Map<string, number>()
  faults = 0
  followed = 0
  /** Steps that were done again after their run had failed with what may pass. */
  reopened = 0
  private readonly world: World
  private readonly disk = new MemoryDisk()
  private readonly flows: FlowProcess[]
  private readonly tools: QueueClient<Frame>[]
  private readonly caller: QueueClient<Frame>
  private readonly person: QueueClient<Frame>
  private readonly gate: ApprovalGate
  /** What handlers were told, by run and step. */
  private readonly told = new Map<string, string>()
  /** How often a call was carried out, by its key. */
  private readonly executions = new Map<string, number>()
  /** How often the person had a call repeated. */
  private readonly repeats = new Map<string, number>()
  private readonly approved = new Set<string>()
  private readonly pending = new Map<string, (frame: Frame) => void>()
  /** Signals that were taken, by run and name. */
  private readonly signalled = new Map<string, number[]>()
  private core: Core | undefined
  private life = 0
  private ids = 0
  private n = 0
  private calm = false

  constructor(seed: number) {
    this.world = new World(seed)
    this.flows = [0, 1].map(
      (index) =>
        new FlowProcess(this.world, index, {
          told: (run, step, outcome) => this.hears(run, step, outcome),
          worked: (run, step) => this.works(run, step),
          began: (run, n) => {
            this.runs.set(run, n)
            this.attempts.set(run, (this.attempts.get(run) ?? 0) + 1)
          },
          followed: () => {
            this.followed += 1
          },
        }),
    )
    this.tools = [0, 1].map(() => {
      const tool: QueueClient<Frame> = new QueueClient<Frame>(this.world, (frame) => this.execute(tool, frame), TOOL)
      tool.onSend = (frame) => this.assertMaySend(frame)
      return tool
    })
    this.gate = new ApprovalGate(this.world, () => !this.calm && this.world.chance(0.03))
    const answered = (frame: Frame): void => {
      const done = this.pending.get(frame.invocation_id)
      this.pending.delete(frame.invocation_id)
      if (frame.type === 'invocationresult') done?.(frame)
    }
    this.caller = new QueueClient<Frame>(this.world, answered, OWNER)
    this.person = new QueueClient<Frame>(this.world, answered, OWNER)
  }

  run(): void {
    const { world } = this
    this.boot()
    for (let at = 20; at < CHAOS_MS; at += world.between(10, 80)) world.after(at, () => this.disturb())
    world.after(50, () => this.decide())
    world.after(CHAOS_MS, () => {
      this.calm = true
      if (this.core) this.kill()
    })
    world.after(CHAOS_MS + AGAIN_MS, () => this.callAgain())
    world.runUntil(CALM_MS)
  }

  /** Whoever gave a key and has no answer asks again. */
  private callAgain(): void {
    for (const asked of this.asked.values()) if (asked.keyed && !this.answers.has(asked.n)) this.callAs(asked, false)
    if (this.world.now < CALM_MS - 2 * AGAIN_MS) this.world.after(AGAIN_MS, () => this.callAgain())
  }

  /** Asks a function of the engine that lives at the end. */
  ask(functionId: string, input: object): unknown {
    let answer: unknown
    this.core!.invoke({
      functionId,
      payload: { value: input },
      context: { realm: OWNER.realm, principal: OWNER.principal, traceId: 'a'.repeat(32) },
      onResult: (result) => {
        answer = result.ok && result.payload && 'value' in result.payload ? result.payload.value : result
      },
    })
    this.world.runUntil(this.world.now + 1_000)
    return answer
  }

  /** How often each step of a run wrote to the state. */
  writes(run: string): Map<string, number> {
    const page = this.ask('state::entries', { scope: run, limit: 1_000 }) as {
      entries: { key: string; value: number }[]
    }
    return new Map(page.entries.map(({ key, value }) => [key, value]))
  }

  outcome(run: string, step: string): string | undefined {
    return this.told.get(`${run}/${step}`)
  }

  // What happens

  private disturb(): void {
    const { world } = this
    const dice = world.random()
    if (dice < 0.6) return this.call()
    if (dice < 0.8) {
      const flow = this.flows[world.between(0, 1)]!
      this.faults += 1
      flow.die()
      flow.client.cut(world.between(0, 60))
      world.after(world.between(0, 100), () => this.join(flow.client))
    } else if (dice < 0.93) {
      const tool = this.tools[world.between(0, 1)]!
      this.faults += 1
      tool.cut(world.between(0, 60))
      world.after(world.between(0, 100), () => this.join(tool))
    } else if (dice < 0.94) {
      this.faults += 1
      this.gate.client.cut(world.between(0, 60))
      world.after(world.between(0, 100), () => this.join(this.gate.client))
    } else if (dice < 0.95) {
      this.caller.cut(world.between(0, 60))
      world.after(world.between(0, 100), () => this.join(this.caller))
    } else if (this.core) this.kill()
  }

  private call(): void {
    const { world } = this
    const again = world.chance(0.2) ? [...this.asked.values()].filter(({ keyed }) => keyed).at(-1) : undefined
    if (!again) this.n += 1
    const asked = again ?? {
      n: this.n,
      keyed: world.chance(0.8),
      strict: world.chance(0.5),
      plan: this.plan(),
    }
    this.asked.set(asked.n, asked)
    this.callAs(asked, again !== undefined && world.chance(0.7))
  }

  private callAs(asked: Asked, joins: boolean): void {
    const { n, plan, strict } = asked
    this.request(
      this.caller,
      'flow::run',
      { n, plan, strict, ...(joins ? { stream: STREAM } : {}) },
      (frame) => {
        // What may pass is no outcome: the same call goes on with it.
        if (asked.keyed && frame.error && isRetryable(frame.error.code)) {
          this.world.after(50, () => this.callAs(asked, joins))
        }
        if (frame.error) return
        const before = this.answers.get(asked.n)
        if (before !== undefined && JSON.stringify(before) !== JSON.stringify(frame.result)) {
          this.wrong.push(`call ${asked.n} was answered twice, and differently`)
        }
        this.answers.set(asked.n, frame.result)
      },
      asked.keyed ? { idempotency_key: `call-${asked.n}` } : {},
    )
  }

  private plan(depth = 0): PlanStep[] {
    const { world } = this
    return Array.from({ length: world.between(1, depth === 0 ? 6 : 2) }, (_, index): PlanStep => {
      const dice = world.random()
      if (dice < 0.2) return { kind: 'work' }
      if (dice < 0.3) return { kind: 'wait', name: `signal-${depth}-${index}-${world.between(0, 99)}` }
      if (dice < 0.42 && depth === 0) return { kind: 'all', branches: [0, 1, 2].map(() => this.plan(1)) }
      if (dice < 0.55) return { kind: 'call', fn: WRITE }
      const fn = TOOLS[world.between(0, TOOLS.length - 1)]!.id
      return fn === CHOSEN ? { kind: 'call', fn, agent: 'clerk' } : { kind: 'call', fn }
    })
  }

  private request(
    client: QueueClient<Frame>,
    functionId: string,
    data: object,
    done: (frame: Frame) => void,
    more: object = {},
  ): void {
    this.ids += 1
    const invocation_id = `10000000-0000-4000-8000-${this.ids.toString(16).padStart(12, '0')}`
    this.pending.set(invocation_id, done)
    client.send({ type: 'invokefunction', invocation_id, function_id: functionId, data, ...more })
  }

  /** The person looks at what waits, and decides some of it, more than once at a time. */
  private decide(): void {
    this.world.after(this.world.now < CHAOS_MS + 5_000 ? 100 : 2_000, () => this.decide())
    if (!this.core || !this.person.connected) return
    this.request(this.person, 'engine::runs::list', { limit: 200 }, ({ result }) => {
      for (const run of (result as { runs: RunView[] } | undefined)?.runs ?? []) {
        if (!run.question || !(this.calm || this.world.chance(0.4))) continue
        if (run.status === 'waiting') this.signal(run.id, run.question.signal!)
        else if (run.status === 'parked') this.resume(run.id, run.question.step, run.question.function)
      }
    })
  }

  private signal(runId: string, name: string): void {
    if (name.startsWith('approval:')) {
      this.approved.add(name.slice('approval:'.length))
      this.gate.approve(name.slice('approval:'.length))
    }
    for (let copies = this.world.between(1, 3); copies > 0; copies--) {
      const value = ++this.ids
      this.request(this.person, 'engine::runs::signal', { runId, name, value }, ({ error }) => {
        if (error) return
        const key = `${runId} ${name}`
        this.signalled.set(key, [...(this.signalled.get(key) ?? []), value])
        if (this.signalled.get(key)!.length > 1) this.wrong.push(`two winners of the signal ${key}`)
      })
    }
  }

  private resume(runId: string, step: string, functionId: string | undefined): void {
    const answer = ['repeat', 'done', 'failed'][this.world.between(0, 2)]!
    const key = `${runId}/${step}`
    if (functionId === WRITE) this.wrong.push(`${key} is in doubt, though the engine can know whether it wrote`)
    if (functionId === CHOSEN && !this.gate.letThrough(key))
      this.wrong.push(`${key} is in doubt, and was never let through`)
    if (answer === 'repeat') this.repeats.set(key, (this.repeats.get(key) ?? 0) + 1)
    for (let copies = this.world.between(1, 2); copies > 0; copies--) {
      this.request(this.person, 'engine::runs::resume', { runId, step, answer, result: 'decided' }, () => {})
    }
  }

  // What has to hold at each moment

  /** The engine sends a call of a step: it is not recorded, and where it may not be repeated, its intent is on disk. */
  private assertMaySend({ type, function_id, context }: Frame): void {
    if (type !== 'invokefunction') return
    const [run, step] = (context.idempotency_key ?? '').split('/')
    const entries = this.entriesOf(run!)
    if (isRecorded(entries, step!)) {
      this.wrong.push(`step ${step} of ${run} (${function_id}) was sent after its result was on disk`)
    }
    if (REPEATABLE.has(function_id)) return
    if (entries.some((entry) => entry.kind === 'intent' && entry.step === step)) return
    this.wrong.push(`step ${step} of ${run} (${function_id}) was sent before its intent was on disk`)
  }

  private entriesOf(run: string): Entry[] {
    const rows = this.disk.partitions.get(`journal/${OWNER.realm}/${run}`)
    return [...(rows?.values() ?? [])]
      .filter((row) => row.key.startsWith('e/') && row.value !== null)
      .map((row) => JSON.parse(row.value!) as Entry)
  }

  private hears(run: string, step: string, outcome: string): void {
    const key = `${run}/${step}`
    const before = this.told.get(key)
    if (before !== undefined && before !== outcome) {
      if (before.startsWith(ERROR) && isRetryable(before.slice(ERROR.length))) this.reopened += 1
      else this.wrong.push(`${key} was ${before} and is ${outcome}`)
    }
    this.told.set(key, outcome)
    if (!this.entriesOf(run).some((entry) => entry.kind === 'result' && entry.step === step)) {
      this.wrong.push(`${key} was told before it was on disk`)
    }
  }

  private works(run: string, step: string): unknown {
    if (isRecorded(this.entriesOf(run), step)) {
      this.wrong.push(`the work of ${run}/${step} was done again after it was on disk`)
    }
    this.ids += 1
    return { worked: this.ids }
  }

  private execute(tool: QueueClient<Frame>, { type, invocation_id, function_id, context }: Frame): void {
    if (type !== 'invokefunction') return
    const { world, calm } = this
    const key = context.idempotency_key!
    const answer = (how: object): void => {
      const frame = { type: 'invocationresult', invocation_id, function_id, ...how }
      tool.send(frame)
      if (world.chance(0.1)) tool.send(frame)
    }
    const fail = (code: string, details: object = {}): void => answer({ error: { code, message: code, details } })
    if (function_id === 'tool::gated' && !this.approved.has(key)) return fail('approval_required', { requestId: key })
    const count = (this.executions.get(key) ?? 0) + 1
    this.executions.set(key, count)
    if (function_id === CHOSEN && count > this.gate.letThrough(key)) {
      this.wrong.push(`${key} was done ${count} times, and let through ${this.gate.letThrough(key)} times`)
    }
    if (!REPEATABLE.has(function_id) && count > 1 + (this.repeats.get(key) ?? 0)) {
      this.wrong.push(`${key} (${function_id}) was done ${count} times, and nobody had it repeated`)
    }
    // Frozen: it never answers.
    if (!calm && world.chance(0.03)) return
    world.after(world.between(0, 40), () => {
      if (!calm && world.chance(0.12)) return fail(world.chance(0.6) ? 'upstream_error' : 'not_found')
      this.ids += 1
      answer({ result: { done: this.ids } })
    })
  }

  // Life and death

  private boot(): void {
    const { world } = this
    this.life += 1
    const life = this.life
    const ports = world.ports(undefined as never)
    // What a killed engine had set to happen does not happen.
    const timers: Timers = {
      set: (delayMs, run) => ports.timers.set(delayMs, () => void (life === this.life && this.core && run())),
      clear: (timer) => ports.timers.clear(timer),
    }
    const store = new MemoryStore({
      clock: ports.clock,
      timers,
      disk: this.disk,
      commitDelayMs: () => world.between(0, 15),
    })
    const write = store.write.bind(store)
    // Now and then the disk refuses what the journal writes, or does not answer a read.
    store.write = (batch, done, options) => {
      const refused = !this.calm && /^(journal|state)\//.test(batch[0]?.partition ?? '') && world.chance(0.02)
      if (!refused) return write(batch, done, options)
      timers.set(1, () => done({ ok: false, error: { code: 'store_unavailable', message: 'The disk is full' } }))
    }
    const read = store.get.bind(store)
    store.get = (partition, key) => {
      const refused = !this.calm && /^(journal|state)\//.test(partition) && world.chance(0.01)
      if (refused) throw new EngineError('store_unavailable', 'The disk does not answer')
      return read(partition, key)
    }
    const core = new Core({ ports: { ...ports, timers, store }, catalogue: new Catalogue(WORKERS) })
    this.core = core
    core.start([createEngineModule(core), createStateModule(), createJournalModule()])
    for (const client of this.clients()) world.after(world.between(0, 60), () => this.join(client))
  }

  private clients(): QueueClient<Frame>[] {
    return [this.caller, this.person, this.gate.client, ...this.tools, ...this.flows.map(({ client }) => client)]
  }

  private join(client: QueueClient<Frame>): void {
    if (!this.core || client.connected) return
    const instance = `instance-${++this.ids}`
    const ids = this.tools.includes(client)
      ? TOOLS.map(({ id }) => id)
      : this.flows.some((flow) => flow.client === client)
        ? ['flow::run']
        : client === this.gate.client
          ? ['approval::gate']
          : []
    client.connect(this.core, [FEATURES, ...ids.map((id) => ({ type: 'registerfunction', id, instance }))])
  }

  private kill(): void {
    this.core = undefined
    this.faults += 1
    for (const client of this.clients()) client.lost()
    // A process may die with it, or only lose its socket: either way its attempts are over.
    for (const flow of this.flows) flow.die()
    this.pending.clear()
    this.world.after(this.world.between(5, 120), () => this.boot())
  }
}

/** Is there a result of the step that counts? */
function isRecorded(entries: readonly Entry[], step: string): boolean {
  let recorded = false
  for (const entry of entries) {
    if (entry.kind === 'result' && entry.step === step) recorded = true
    if (entry.kind === 'reopened' && entry.steps.includes(step)) recorded = false
  }
  return recorded
}

describe('runs under killed engines, killed processes, frozen ones and a disk that refuses', () => {
  it(`are never lost, stuck, or done twice over ${SEEDS} seeds`, { timeout: 120_000 + SEEDS * 3_000 }, () => {
    let faults = 0
    let handedOver = 0
    let decided = 0
    let followed = 0
    let reopened = 0
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const where = `seed ${seed} (replay: SIMULATION_SEED=${seed} SIMULATION_SEEDS=1)`
      const world = new RunWorld(seed)
      world.run()
      expect(world.wrong, where).toEqual([])
      for (const [id, n] of world.runs) {
        const run = world.ask('engine::runs::get', { runId: id }) as RunView
        const { keyed, strict } = world.asked.get(n)!
        const told = `call ${n}, ${id}: ${JSON.stringify(run)}, ${where}`
        if ((world.attempts.get(id) ?? 0) > 1) handedOver += 1
        // Nobody can call again.
        if (run.status === 'failed' && strict && !keyed && isRetryable(run.error?.code ?? '')) continue
        if (run.status === 'failed') {
          expect(run.error?.code, told).toBe('run_crashed')
          expect(run.attempts, told).toBeGreaterThanOrEqual(5)
          continue
        }
        if (!keyed && run.status === 'cancelled') continue
        expect(run.status, `it was begun, and comes to its end, ${told}`).toBe('done')
        decided += 1
        const writes = world.writes(id)
        for (const [step, times] of writes) expect(times, `step ${step} wrote once, ${told}`).toBe(1)
        for (const { step, name, status } of run.journal) {
          if (name !== WRITE) continue
          expect(writes.has(step), `step ${step} wrote where it says so, ${told}`).toBe(status === 'done')
        }
        const outcomes = run.result as string[]
        outcomes.forEach((outcome, index) => {
          if (outcome.startsWith('[')) return
          expect(outcome, `the result is what its steps came to, ${told}`).toBe(world.outcome(id, String(index + 1)))
        })
        if (world.answers.has(n) && keyed) {
          expect(world.answers.get(n), `the caller heard the same, ${told}`).toEqual(run.result)
        }
      }
      faults += world.faults
      followed += world.followed
      reopened += world.reopened
    }
    // One seed alone may be a quiet one.
    if (SEEDS < 20) return
    expect(faults, 'the faults do happen').toBeGreaterThan(SEEDS * 5)
    expect(handedOver, 'runs do change hands').toBeGreaterThan(SEEDS)
    expect(decided, 'and end').toBeGreaterThan(SEEDS)
    expect(followed, 'and are followed').toBeGreaterThan(SEEDS)
    expect(reopened, 'and go on after what may pass').toBeGreaterThan(SEEDS / 5)
  })
})
