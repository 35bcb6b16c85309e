import { EngineError } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { Core } from '../../src/core/core.ts'
import { MOST_LOSSES } from '../../src/core/losses.ts'
import type { Timers } from '../../src/core/ports.ts'
import { createEngineModule } from '../../src/modules/engine/functions.ts'
import { createKeysModule } from '../../src/modules/keys/module.ts'
import { createQueueModule } from '../../src/modules/queue/module.ts'
import { DEFAULT_SETTINGS } from '../../src/modules/queue/settings.ts'
import { MemoryDisk, MemoryStore } from '../../src/store/memory-store.ts'
import { type Incoming, type JobData, QueueClient } from './queue-client.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 300)
const FIRST_SEED = Number(process.env.SIMULATION_SEED ?? 1)
const CHAOS_MS = 2_000
const CALM_MS = CHAOS_MS + 120_000
const MAX_ATTEMPTS = 3
const GROUPS = ['ada', 'bob', 'eve']
const TOPIC = 'news'
/** What is published here has an idempotency key, and is published again until it is accepted. */
const KEYED = 'inbox'
const AGAIN_MS = 100

const FAST = { ...DEFAULT_SETTINGS, maxAttempts: MAX_ATTEMPTS, backoffMs: 20, leaseMs: 300, concurrency: 2 }
const QUEUES = new Map([
  ['standard', FAST],
  ['fifo', { ...FAST, fifo: true, groupField: 'group' }],
])
const REGISTRATIONS = [
  { type: 'registerfunction', id: 'work::do' },
  { type: 'registerfunction', id: 'work::hear' },
  { type: 'registerfunction', id: 'work::read' },
  {
    type: 'registertrigger',
    id: 'hear',
    trigger_type: 'durable:subscriber',
    function_id: 'work::hear',
    config: {
      topic: TOPIC,
      queue_config: { type: 'fifo', maxRetries: MAX_ATTEMPTS - 1, backoffDelayMs: 20, visibilityTimeout: 1 },
    },
  },
  {
    type: 'registertrigger',
    id: 'read',
    trigger_type: 'durable:subscriber',
    function_id: 'work::read',
    config: { topic: KEYED, queue_config: { maxRetries: MAX_ATTEMPTS - 1, backoffDelayMs: 20, visibilityTimeout: 1 } },
  },
]

interface Delivery extends JobData {
  queue: string
  key: string | undefined
  answered: boolean
}

/** Producer, two worker processes and an engine that is killed between accepting a job and its commit. */
class QueueWorld {
  readonly deliveries: Delivery[] = []
  readonly accepted: (JobData & { queue: string; id: string | undefined })[] = []
  private readonly world: World
  private readonly disk = new MemoryDisk()
  private readonly producer: QueueClient
  private readonly workers: QueueClient[]
  private readonly taken = new Set<number>()
  private readonly asked = new Map<string, JobData & { queue: string }>()
  private core: Core | undefined
  private life = 0
  private n = 0
  private calls = 0
  private calm = false

  constructor(seed: number) {
    this.world = new World(seed)
    this.producer = new QueueClient(this.world, (frame) => this.receipt(frame))
    this.workers = [0, 1].map(() => {
      const worker: QueueClient = new QueueClient(this.world, (frame) => this.work(worker, frame))
      return worker
    })
  }

  run(): void {
    const { world } = this
    this.boot()
    for (let at = 20; at < CHAOS_MS; at += world.between(2, 30)) world.after(at, () => this.disturb())
    world.after(CHAOS_MS, () => {
      this.calm = true
      if (!this.core) return
      this.kill()
    })
    world.runUntil(CALM_MS)
  }

  /** Asks a function of the engine that lives at the end. */
  ask(functionId: string, input: object): unknown {
    let answer: unknown
    this.core!.invoke({
      functionId,
      payload: { value: input },
      context: { realm: 'realm-default', principal: { kind: 'guest', id: 'guest' }, traceId: 'a'.repeat(32) },
      onResult: (result) => {
        answer = result.ok && result.payload && 'value' in result.payload ? result.payload.value : result
      },
    })
    return answer
  }

  queueOf(n: number): string | undefined {
    return [...this.asked.values()].find((job) => job.n === n)?.queue
  }

  /** What was published under a key. */
  get keyed(): number[] {
    return [...new Set([...this.asked.values()].filter(({ queue }) => queue === KEYED).map(({ n }) => n))]
  }

  isAccepted(n: number): boolean {
    return this.taken.has(n)
  }

  private disturb(): void {
    const { world } = this
    const dice = world.random()
    if (dice < 0.75) return this.put()
    if (dice < 0.95) {
      const worker = this.workers[world.between(0, 1)]!
      worker.cut(world.between(0, 100))
      world.after(world.between(0, 200), () => this.join(worker))
    } else if (this.core) this.kill()
  }

  private put(): void {
    this.n += 1
    // A message without subscribers is dropped, as the protocol has it.
    const subscribed = (this.disk.partitions.get('queue-subscriptions')?.size ?? 0) > 1
    const queue = ['standard', 'fifo', TOPIC, KEYED][this.world.between(0, subscribed ? 3 : 1)]!
    this.send({ n: this.n, group: GROUPS[this.world.between(0, 2)]!, poison: this.world.chance(0.1), queue })
  }

  private send(job: JobData & { queue: string }): void {
    const { queue, ...data } = job
    this.calls += 1
    const invocation_id = `10000000-0000-4000-8000-${this.calls.toString(16).padStart(12, '0')}`
    this.asked.set(invocation_id, job)
    const key = queue === KEYED ? { idempotency_key: `key-${data.n}` } : {}
    if (queue === KEYED) this.world.after(AGAIN_MS, () => !this.isAccepted(data.n) && this.send(job))
    this.producer.send(
      queue === TOPIC || queue === KEYED
        ? {
            type: 'invokefunction',
            invocation_id,
            function_id: 'iii::durable::publish',
            data: { topic: queue, data },
            ...key,
          }
        : { type: 'invokefunction', invocation_id, function_id: 'work::do', data, action: { type: 'enqueue', queue } },
    )
  }

  private receipt(frame: Incoming): void {
    const job = this.asked.get(frame.invocation_id)
    if (frame.type !== 'invocationresult' || !job || frame.error) return
    this.taken.add(job.n)
    this.accepted.push({ ...job, id: frame.result?.messageReceiptId })
  }

  private work(worker: QueueClient, frame: Incoming): void {
    if (frame.type !== 'invokefunction') return
    const { world, calm } = this
    const { data, invocation_id, function_id, context } = frame
    const queue = { 'work::hear': TOPIC, 'work::read': KEYED }[function_id] ?? 'work'
    const delivery: Delivery = { ...data, queue, key: context.idempotency_key, answered: false }
    this.deliveries.push(delivery)
    // Frozen: its lease runs out.
    if (!calm && world.chance(0.03)) return
    world.after(world.between(0, 40), () => {
      const fails = data.poison || (!calm && world.chance(0.15))
      delivery.answered = !fails
      const how = fails ? { error: { code: 'boom', message: 'broke' } } : { result: null }
      worker.send({ type: 'invocationresult', invocation_id, function_id, ...how })
    })
  }

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
    const commitDelayMs = (): number => world.between(0, 20)
    const store = new MemoryStore({ clock: ports.clock, timers, disk: this.disk, commitDelayMs })
    const write = store.write.bind(store)
    // Now and then the disk refuses what a queue writes, or does not answer a read.
    store.write = (batch, done, options) => {
      const refused = !this.calm && batch[0]?.partition.startsWith('queue/') && world.chance(0.03)
      if (!refused) return write(batch, done, options)
      timers.set(1, () => done({ ok: false, error: { code: 'store_unavailable', message: 'The disk is full' } }))
    }
    const read = store.get.bind(store)
    store.get = (partition, key) => {
      const refused = !this.calm && partition.startsWith('queue/') && world.chance(0.02)
      if (refused) throw new EngineError('store_unavailable', 'The disk does not answer')
      return read(partition, key)
    }
    const core = new Core({ ports: { ...ports, timers, store } })
    this.core = core
    const keys = createKeysModule({ kept: 10_000, bytes: 10_000_000, maxResultBytes: 1_000 })
    core.start([createEngineModule(core), keys, createQueueModule({ queues: QUEUES })])
    for (const client of [this.producer, ...this.workers]) world.after(world.between(0, 100), () => this.join(client))
  }

  private join(client: QueueClient): void {
    if (this.core && !client.connected) client.connect(this.core, client === this.producer ? [] : REGISTRATIONS)
  }

  private kill(): void {
    this.core = undefined
    for (const client of [this.producer, ...this.workers]) client.lost()
    this.world.after(this.world.between(5, 200), () => this.boot())
  }
}

interface Letter {
  id: string
  payload: JobData
  retries: number
}

describe('queues under killed engines, killed workers and frozen ones', () => {
  it(`lose nothing, keep their order and end over ${SEEDS} seeds`, { timeout: 240_000 }, () => {
    let redelivered = 0
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const where = `seed ${seed} (replay: SIMULATION_SEED=${seed} SIMULATION_SEEDS=1)`
      const world = new QueueWorld(seed)
      world.run()
      const done = new Set(world.deliveries.filter((delivery) => delivery.answered).map(({ n }) => n))
      const dead = new Map<number, Letter>()
      for (const topic of ['standard', 'fifo', TOPIC, KEYED]) {
        const stats = world.ask('engine::queue::topic_stats', { topic })
        expect(stats, `nothing is stuck in ${topic}, ${where}`).toMatchObject({ depth: 0 })
        for (const letter of world.ask('engine::queue::dlq_messages', { topic, limit: 1_000 }) as Letter[]) {
          dead.set(letter.payload.n, letter)
          // The loss of a process is an attempt, but not the last one before the third.
          expect(letter.retries, `dead after its last attempt, ${where}`).toBeGreaterThanOrEqual(MAX_ATTEMPTS)
          expect(letter.retries, `dead after its last attempt, ${where}`).toBeLessThan(MAX_ATTEMPTS + MOST_LOSSES)
        }
      }
      for (const job of world.accepted) {
        expect(done.has(job.n) || dead.has(job.n), `job ${job.n} was accepted and is not lost, ${where}`).toBe(true)
        if (job.poison) expect(dead.has(job.n), `poison ends as a dead letter, ${where}`).toBe(true)
      }
      for (const n of world.keyed) expect(world.isAccepted(n), `message ${n} was taken in the end, ${where}`).toBe(true)
      const lanes = new Map<string, number>()
      const keys = new Map<number, string | undefined>()
      const seen = new Set<number>()
      for (const { n, group, queue, key } of world.deliveries) {
        if (seen.has(n)) redelivered += 1
        seen.add(n)
        expect(keys.get(n) ?? key, `each delivery of a job has the same key, ${where}`).toBe(key)
        keys.set(n, key)
        const lane = queue === TOPIC ? TOPIC : world.queueOf(n) === 'fifo' ? `fifo ${group}` : undefined
        if (lane === undefined) continue
        expect(n, `${lane} is in order, ${where}`).toBeGreaterThanOrEqual(lanes.get(lane) ?? 0)
        lanes.set(lane, n)
      }
    }
    expect(redelivered, 'the faults do happen').toBeGreaterThan(SEEDS)
  })
})
