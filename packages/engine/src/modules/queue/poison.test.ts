import { beforeEach, describe, expect, it } from 'vitest'
import { installed, type Peer, startCore } from '../../../test/peers.ts'
import { createQueueModule } from './module.ts'
import { namedQueues, QueueFile } from './settings.ts'

const RESTART_MS = 500
const QUEUES = { one: { max_retries: 1 }, orders: { type: 'fifo', message_group_field: 'group' } }

/** A worker whose processes do what they are given in turn, end at a poisonous job, and come back a little later. */
class World {
  private parts = this.boot()
  private readonly declared: boolean
  private process: Peer | undefined
  private seen = 0
  readonly ran: unknown[] = []
  deaths = 0
  /** Of the handings-over: when, and of which job. */
  readonly given: { at: number; n: number }[] = []

  constructor(declared = true) {
    this.declared = declared
    this.come()
  }

  private boot(before?: Pick<ReturnType<typeof startCore>, 'time' | 'disk'>) {
    const queues = namedQueues(QueueFile.parse({ queue_configs: QUEUES }))
    const workers = [installed('app', [{ id: 'app::work' }])]
    return startCore({ workers, modules: [createQueueModule({ queues })], ...before })
  }

  get time() {
    return this.parts.time
  }

  restart(): void {
    const { time, disk } = this.parts
    time.reset()
    this.parts = this.boot({ time, disk })
    this.come()
  }

  private come(): void {
    this.process = this.declared ? this.parts.worker('app') : this.parts.owner()
    this.seen = this.process.served.length
    this.process.register(this.functionId)
    this.process.register(this.below)
  }

  private get functionId(): string {
    return this.declared ? 'app::work' : 'foreign::work'
  }

  /** What a job may call in its own process. */
  private get below(): string {
    return `${this.functionId}-below`
  }

  enqueue(jobs: object[], queue = 'default'): void {
    const producer = this.parts.owner()
    for (const data of jobs) producer.call(this.functionId, { data, action: { type: 'enqueue', queue } })
  }

  /** Lets time go on, until the process has done or died of what it is given. */
  run(ms: number): void {
    for (let passed = 0; passed < ms; passed += 10) {
      this.time.advance(10)
      this.work()
    }
  }

  private work(): void {
    const { process } = this
    for (const call of process?.served.slice(this.seen) ?? []) {
      this.seen += 1
      const { n, poison } = call.data as { n: number; poison?: 'at once' | 'below' }
      this.given.push({ at: this.time.monotonic(), n })
      if (poison === 'at once') return this.die()
      if (poison === undefined) {
        this.ran.push(n)
        process!.answer(call)
      } else if (call.function_id === this.functionId) {
        process!.call(this.below, { parent: call.invocation_id, data: call.data })
      } else {
        this.time.set(1_500, () => this.process === process && this.die())
      }
    }
  }

  die(): void {
    const { process } = this
    this.deaths += 1
    this.process = undefined
    process!.close()
    this.time.set(RESTART_MS, () => this.come())
  }

  redrive(queue = 'default'): void {
    this.parts.owner().call('iii::queue::redrive', { data: { queue } })
  }

  async deadLetters(queue = 'default') {
    const caller = this.parts.owner()
    const id = caller.call('engine::queue::dlq_messages', { data: { topic: queue } })
    this.time.advance(0)
    return caller.result(id)?.result as { payload: { n: number }; error: string; retries: number }[]
  }
}

const POISON = { n: 0, poison: 'at once' }
const harmless = (count: number) => Array.from({ length: count }, (_, index) => ({ n: index + 1 }))

describe('a job that ends its process', () => {
  let world: World

  beforeEach(() => {
    world = new World()
  })

  it.each([
    ['of an installed worker', true],
    ['of a client', false],
  ])('is a dead letter after its third, %s; the nine beside it are done, once each', async (_whose, declared) => {
    world = new World(declared)
    world.enqueue([POISON, ...harmless(9)])
    world.run(120_000)
    expect(world.ran.sort()).toEqual(harmless(9).map(({ n }) => n))
    const letters = await world.deadLetters()
    expect(letters).toMatchObject([{ payload: POISON, retries: 3 }])
    expect(letters[0]!.error).toMatch(/^3 processes ended soon after they were given this job: /)
    expect(world.deaths, 'three of its own and at most the two that tell').toBeLessThanOrEqual(5)
  })

  it('is a dead letter, wherever among the others it stands', async () => {
    const jobs = harmless(9)
    jobs.splice(5, 0, POISON)
    world.enqueue(jobs)
    world.run(120_000)
    expect(world.ran.sort()).toEqual(harmless(9).map(({ n }) => n))
    expect(await world.deadLetters()).toMatchObject([{ payload: POISON }])
  })

  it('alone is tried again at once, after 30 s, and then no more', async () => {
    world.enqueue([POISON])
    world.run(120_000)
    const times = world.given.map(({ at }) => Math.round(at / 1_000))
    expect(times).toEqual([0, 1, 31])
    expect(await world.deadLetters()).toHaveLength(1)
  })

  it('makes those that are open be handed over a second apart from the second on, and no longer than that', () => {
    world.enqueue([POISON, ...harmless(9)])
    world.run(2_000)
    expect(world.deaths).toBe(3)
    world.given.length = 0
    world.run(13_000)
    const times = world.given.map(({ at }) => at)
    expect(times.length).toBeGreaterThan(5)
    for (const [index, at] of times.slice(1).entries()) expect(at - times[index]!).toBeGreaterThanOrEqual(1_000)
    world.run(180_000)
    world.given.length = 0
    world.enqueue(harmless(5))
    world.run(20)
    expect(world.given).toHaveLength(5)
  })

  it.each([
    ['of an installed worker', true],
    ['of a client', false],
  ])('costs no job of a queue with one attempt anything but time, %s', async (_whose, declared) => {
    world = new World(declared)
    // Past the time after a start in which a missing function is waited for.
    world.run(31_000)
    world.enqueue([POISON, ...harmless(9)], 'one')
    world.run(120_000)
    expect(world.ran.sort()).toEqual(harmless(9).map(({ n }) => n))
    expect(await world.deadLetters('one')).toMatchObject([{ payload: POISON }])
  })

  it('is told by the call that it has under way in its own process', async () => {
    world.enqueue([{ n: 0, poison: 'below' }])
    world.run(120_000)
    expect(world.deaths).toBe(3)
    expect(await world.deadLetters()).toHaveLength(1)
  })

  it('holds up its own group of an ordered queue alone', async () => {
    const jobs = [POISON, ...harmless(6)].map((job) => ({ ...job, group: job.n % 2 }))
    world.enqueue(jobs, 'orders')
    world.run(120_000)
    expect(world.ran.filter((n) => Number(n) % 2 === 1)).toEqual([1, 3, 5])
    expect(world.ran.filter((n) => Number(n) % 2 === 0)).toEqual([2, 4, 6])
    expect(await world.deadLetters('orders')).toMatchObject([{ payload: POISON }])
  })

  it('is another job each time where nobody can know yet', () => {
    world.enqueue(harmless(3))
    for (let death = 1; death <= 2; death++) {
      world.time.advance(RESTART_MS)
      world.die()
    }
    world.run(20_000)
    expect(world.ran.sort(), 'none waits 30 s, as the second time').toEqual([1, 2, 3])
  })

  it('is remembered over a restart of the engine, and forgotten when it is driven back', async () => {
    world.enqueue([POISON])
    world.run(5_000)
    expect(world.deaths).toBe(2)
    world.restart()
    world.run(60_000)
    expect(world.deaths).toBe(3)
    expect(await world.deadLetters()).toHaveLength(1)
    world.redrive()
    world.run(120_000)
    expect(world.deaths).toBe(6)
  })
})
