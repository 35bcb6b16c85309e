import { describe, expect, it } from 'vitest'
import { Catalogue } from '../../src/core/catalogue.ts'
import { SYSTEM_REALM } from '../../src/core/context.ts'
import { Core } from '../../src/core/core.ts'
import type { Timers } from '../../src/core/ports.ts'
import { createEngineModule } from '../../src/modules/engine/functions.ts'
import { createKeysModule } from '../../src/modules/keys/module.ts'
import { MemoryDisk, MemoryStore } from '../../src/store/memory-store.ts'
import { installed } from '../peers.ts'
import { QueueClient } from './queue-client.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 100)
const FIRST_SEED = Number(process.env.SIMULATION_SEED ?? 1)
const CHAOS_MS = 2_000
const CALM_MS = CHAOS_MS + 60_000
const RETRIES = 2
const FUNCTIONS = ['shop::pay', 'shop::read']
const shop = installed('shop', [{ id: 'shop::pay' }, { id: 'shop::read', effects: 'read' }], { instances: 2 })

interface Frame {
  type: string
  invocation_id: string
  function_id: string
  data: { what: string }
  result?: { effect: number }
  error?: { code: string }
}

/** What a caller asked for; under a key several calls ask for the same. */
interface Asked {
  functionId: string
  what: string
  keyed: boolean
  retried: boolean
  /** Effects of it that were acknowledged before this call was made. */
  acknowledged: number | undefined
  answers: number
}

/** A process of the worker: it does its work, or gives it back because it is stopping. */
class Process {
  readonly client: QueueClient
  stopping = false

  constructor(world: World, serve: (process: Process, frame: Frame) => void) {
    const grant = { principal: { kind: 'system', id: 'shop' }, realm: SYSTEM_REALM, worker: 'shop' } as const
    this.client = new QueueClient(world, (frame) => serve(this, frame as unknown as Frame), grant)
  }
}

/** Two callers, two processes of a worker, and an engine; all of them are killed, cut, stopped and frozen. */
class CallWorld {
  core: Core | undefined
  /** How often work was begun, and every effect that it had, by what was asked for. */
  readonly begun = new Map<string, number>()
  readonly effects = new Map<string, number[]>()
  readonly wrong: string[] = []
  /** Results under keys that a caller has heard. */
  readonly acknowledged = new Map<string, number>()
  refusals = 0
  late = 0
  private readonly world: World
  private readonly disk = new MemoryDisk()
  private readonly callers: { client: QueueClient; asked: Map<string, Asked> }[]
  private readonly processes: Process[]
  private life = 0
  private n = 0
  private effect = 0
  private calm = false

  constructor(seed: number) {
    this.world = new World(seed)
    this.callers = [0, 1].map(() => {
      const asked = new Map<string, Asked>()
      const client = new QueueClient(this.world, (frame) => this.hear(asked, frame as unknown as Frame))
      return { client, asked }
    })
    this.processes = [0, 1].map(() => new Process(this.world, (process, frame) => this.serve(process, frame)))
  }

  run(): void {
    const { world } = this
    this.boot()
    for (let at = 20; at < CHAOS_MS; at += world.between(2, 20)) world.after(at, () => this.disturb())
    world.after(CHAOS_MS, () => {
      this.calm = true
      for (const process of this.processes) this.restart(process)
      for (const { client } of this.callers) world.after(200, () => this.join(client))
    })
    world.runUntil(CALM_MS)
    for (const { asked } of this.callers) {
      for (const [id, { answers, what }] of asked) {
        if (answers !== 1) this.wrong.push(`${what} (${id}) has ${answers} answers`)
      }
    }
  }

  private disturb(): void {
    const { world } = this
    const dice = world.random()
    const process = this.processes[world.between(0, 1)]!
    if (dice < 0.8) this.call()
    else if (dice < 0.86) this.kill(process)
    else if (dice < 0.91) this.stop(process)
    else if (dice < 0.95) this.freeze(process)
    else if (dice < 0.985) this.leave()
    else if (this.core) this.crash()
  }

  private call(): void {
    const { world } = this
    const { client, asked } = this.callers[world.between(0, 1)]!
    if (!client.connected) return
    this.n += 1
    const functionId = FUNCTIONS[world.between(0, 1)]!
    const keyed = world.chance(0.6)
    const retried = world.chance(0.5)
    const what = `${functionId} ${keyed ? `key-${world.between(1, 40)}` : `call-${this.n}`}`
    const id = `10000000-0000-4000-8000-${this.n.toString(16).padStart(12, '0')}`
    const acknowledged = this.acknowledged.get(what)
    asked.set(id, { functionId, what, keyed, retried, acknowledged, answers: 0 })
    client.send({
      type: 'invokefunction',
      invocation_id: id,
      function_id: functionId,
      data: { what },
      ...(keyed ? { idempotency_key: what } : {}),
      ...(retried ? { retry: { max: RETRIES, backoff_ms: 10 } } : {}),
      ...(world.chance(0.3) ? { deadline_ms: world.between(1, 300) } : {}),
    })
    if (world.chance(0.05)) {
      world.after(world.between(0, 50), () => client.send({ type: 'cancelinvocation', invocation_id: id }))
    }
  }

  private hear(asked: Map<string, Asked>, frame: Frame): void {
    if (frame.type !== 'invocationresult') return
    const call = asked.get(frame.invocation_id)
    if (!call) return void this.wrong.push(`an answer that nobody waits for: ${frame.invocation_id}`)
    call.answers += 1
    const { what, keyed, acknowledged } = call
    if (frame.result) {
      if (!this.effects.get(what)?.includes(frame.result.effect)) this.wrong.push(`${what} has a result of another`)
      if (acknowledged !== undefined && frame.result.effect !== acknowledged) this.wrong.push(`${what} has two results`)
      if (keyed) this.acknowledged.set(what, frame.result.effect)
    } else if (acknowledged !== undefined && frame.error?.code === 'in_doubt') {
      this.wrong.push(`${what} was acknowledged and is in doubt`)
    }
  }

  private serve(process: Process, frame: Frame): void {
    if (frame.type !== 'invokefunction') return
    const { world } = this
    const { invocation_id, function_id, data } = frame
    const answer = (outcome: object): void =>
      process.client.send({ type: 'invocationresult', invocation_id, function_id, ...outcome })
    if (process.stopping) {
      this.refusals += 1
      return answer({ error: { code: 'worker_unavailable', message: 'stopping' }, refused: true })
    }
    this.begun.set(data.what, (this.begun.get(data.what) ?? 0) + 1)
    world.after(world.between(0, 60), () => {
      if (!this.calm && world.chance(0.2)) return answer({ error: { code: 'upstream_error', message: 'later' } })
      this.effect += 1
      this.effects.set(data.what, [...(this.effects.get(data.what) ?? []), this.effect])
      answer({ result: { effect: this.effect } })
    })
  }

  /** SIGKILL: the engine hears of it sooner or later. */
  private kill(process: Process): void {
    process.client.cut(this.world.between(0, 100))
    this.world.after(this.world.between(0, 200), () => this.restart(process))
  }

  /** SIGTERM: takes its functions back, ends what it serves, gives back what was on the way, and comes again. */
  private stop(process: Process): void {
    if (process.stopping) return
    process.stopping = true
    for (const id of FUNCTIONS) process.client.send({ type: 'unregisterfunction', id })
    this.world.after(100, () => this.restart(process))
  }

  /** SIGSTOP for longer than the heartbeats bear; what it says when it is back is late. */
  private freeze(process: Process): void {
    process.client.fence()
    this.world.after(this.world.between(0, 100), () => this.restart(process))
  }

  private restart(process: Process): void {
    process.client.cut(0)
    process.stopping = false
    this.join(process.client)
  }

  private leave(): void {
    const { client, asked } = this.callers[this.world.between(0, 1)]!
    client.cut(this.world.between(0, 50))
    asked.clear()
    this.world.after(this.world.between(0, 100), () => this.join(client))
  }

  private crash(): void {
    this.late += this.core?.calls.counts().lateResults ?? 0
    this.core = undefined
    for (const { client } of this.processes) client.lost()
    for (const { client, asked } of this.callers) {
      client.lost()
      asked.clear()
    }
    this.world.after(this.world.between(5, 100), () => this.boot())
  }

  private boot(): void {
    const { world } = this
    this.life += 1
    const life = this.life
    const ports = world.ports(undefined as never)
    const timers: Timers = {
      set: (delayMs, run) => ports.timers.set(delayMs, () => void (life === this.life && this.core && run())),
      clear: (timer) => ports.timers.clear(timer),
    }
    const store = new MemoryStore({
      clock: ports.clock,
      timers,
      disk: this.disk,
      commitDelayMs: () => world.between(0, 20),
    })
    const core = new Core({
      ports: { ...ports, timers, store },
      catalogue: new Catalogue([shop]),
      limits: { workerWaitMs: 200, inFlightPerWorker: 3 },
    })
    this.core = core
    core.start([createEngineModule(core), createKeysModule({ kept: 1_000, bytes: 1e6, maxResultBytes: 1_000 })])
    for (const client of [...this.callers, ...this.processes].map((each) => each.client)) {
      world.after(world.between(0, 50), () => this.join(client))
    }
  }

  private join(client: QueueClient): void {
    if (!this.core || client.connected) return
    const index = this.processes.findIndex((process) => process.client === client)
    const registrations = FUNCTIONS.map((id) => ({
      type: 'registerfunction',
      id,
      group: 'shop',
      instance: `${index}`,
    }))
    client.connect(this.core, index < 0 ? [] : registrations)
  }
}

describe('calls under killed, stopped and frozen processes and killed engines', () => {
  it(`are answered once, and have their effect at most once, over ${SEEDS} seeds`, { timeout: 240_000 }, () => {
    const seen = { refusals: 0, late: 0, acknowledged: 0, repeated: 0 }
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const where = `seed ${seed} (replay: SIMULATION_SEED=${seed} SIMULATION_SEEDS=1)`
      const world = new CallWorld(seed)
      world.run()
      expect(world.wrong, where).toEqual([])
      for (const [what, effects] of world.effects) {
        if (what.startsWith('shop::pay')) expect(effects, `${what} is paid once, ${where}`).toHaveLength(1)
      }
      for (const [what, times] of world.begun) {
        const limit = RETRIES + 1
        if (what.includes('call-')) expect(times, `${what} is bounded, ${where}`).toBeLessThanOrEqual(limit)
        if (times > 1) seen.repeated += 1
      }
      expect(world.core?.calls.counts(), where).toMatchObject({ inFlight: 0, waiting: 0 })
      seen.refusals += world.refusals
      seen.late += world.late + (world.core?.calls.counts().lateResults ?? 0)
      seen.acknowledged += world.acknowledged.size
    }
    for (const [what, count] of Object.entries(seen)) {
      expect(count, `the faults do happen: ${what}`).toBeGreaterThan(SEEDS / 2)
    }
  })
})
