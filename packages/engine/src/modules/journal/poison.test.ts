import { beforeEach, describe, expect, it } from 'vitest'
import type { Peer } from '../../../test/peers.ts'
import { JournalWorld } from './journal.fixture.ts'

const RESTART_MS = 500

/** What a process of `flow` does with the runs that it is given: those with `poison` end it, the others end well. */
class Processes {
  private readonly world: JournalWorld
  private process: Peer | undefined
  private seen = 0
  /** How long a run takes until it ends its process, or well. */
  takesMs = 0
  /** Of the handings-over: when, and of which run. */
  readonly given: { at: number; n: number }[] = []
  deaths = 0

  constructor(world: JournalWorld) {
    this.world = world
    this.come(world.flow)
  }

  run(ms: number): void {
    for (let passed = 0; passed < ms; passed += 10) {
      this.world.time.advance(10)
      this.take()
    }
  }

  die(): void {
    const { world, process } = this
    if (!process) return
    this.deaths += 1
    this.process = undefined
    process.close()
    world.time.set(RESTART_MS, () => this.come())
  }

  come(process = this.world.flowProcess()): void {
    this.process = process
    this.seen = 0
    process.register('flow::look')
  }

  private take(): void {
    const { process, world } = this
    for (const call of process?.served.slice(this.seen) ?? []) {
      this.seen += 1
      if (call.function_id !== 'flow::run') continue
      const { n, poison } = call.data as { n: number; poison?: string }
      this.given.push({ at: world.time.monotonic(), n })
      if (poison === 'in a step') process!.call('flow::look', { parent: call.invocation_id, step: '1', data: {} })
      world.time.set(this.takesMs, () => {
        if (this.process !== process) return
        if (poison) this.die()
        else process!.answer(call, n)
      })
    }
  }
}

let world: JournalWorld
let processes: Processes

beforeEach(() => {
  world = new JournalWorld()
  processes = new Processes(world)
})

const begin = (data: object) => world.caller.call('flow::run', { data })
const harmless = (count: number) => Array.from({ length: count }, (_, index) => ({ n: index + 1 }))

describe('a run that ends its process', () => {
  it('ends as run_crashed; the four that are open beside it come to their ends', () => {
    processes.takesMs = 200
    const poison = begin({ n: 0, poison: 'at once' })
    const others = harmless(4).map(begin)
    processes.run(120_000)
    expect(others.map((id) => world.caller.result(id)?.result)).toEqual([1, 2, 3, 4])
    expect(world.caller.result(poison)?.error).toMatchObject({
      code: 'run_crashed',
      message: '3 processes ended soon after they were given flow::run',
    })
    expect(processes.deaths, 'three of its own and at most the two that tell').toBeLessThanOrEqual(5)
  })

  it('is handed over again at once, after 30 s, and then no more', async () => {
    const call = begin({ n: 0, poison: 'at once' })
    processes.run(120_000)
    expect(processes.given.map(({ at }) => Math.round(at / 1_000))).toEqual([0, 1, 31])
    expect(world.caller.code(call)).toBe('run_crashed')
  })

  it('waits 15 s, then 30 s, where its worker had lost a process before', () => {
    processes.die()
    processes.run(1_000)
    begin({ n: 0, poison: 'at once' })
    begin({ n: 0, poison: 'at once' })
    processes.run(3_000)
    processes.given.length = 0
    const begun = world.time.monotonic()
    const call = begin({ n: 5, poison: 'at once' })
    processes.run(120_000)
    const times = processes.given.filter(({ n }) => n === 5).map(({ at }) => at - begun)
    expect(world.caller.code(call)).toBe('run_crashed')
    expect(times).toHaveLength(3)
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(15_000)
    expect(times[1]! - times[0]!).toBeLessThan(20_000)
    expect(times[2]! - times[1]!).toBeGreaterThanOrEqual(30_000)
  })

  it('is told by the call that it has under way in its own process', () => {
    processes.takesMs = 1_500
    const call = begin({ n: 0, poison: 'in a step' })
    processes.run(120_000)
    expect(world.caller.code(call)).toBe('run_crashed')
  })

  it('does not wait where it had come further, and its losses count anew', () => {
    const call = world.begin()
    for (let step = 1; step <= 6; step++) {
      expect(world.does(String(step), 'tool::read', step)).toBe(step)
      world.flow.close()
      world.flow = world.flowProcess()
      world.settle()
      world.time.advance(1_000)
      expect(world.given(world.flow).context!.attempt).toBe(step + 1)
    }
    world.finish('end')
    expect(world.caller.result(call)?.result).toBe('end')
  })

  it('has its losses counted on over restarts of the engine, which are none themselves', async () => {
    processes.takesMs = 600_000
    world.begin()
    const { runId } = world
    for (let restart = 1; restart <= 6; restart++) {
      world.restart()
      world.connect()
    }
    processes.come(world.flow)
    processes.die()
    processes.run(1_000)
    processes.die()
    world.settle()
    world.restart()
    world.connect()
    processes.come(world.flow)
    expect(await world.query('engine::runs::get', { runId })).toMatchObject({ status: 'running' })
    processes.die()
    processes.run(60_000)
    const run = await world.query('engine::runs::get', { runId })
    expect(run).toMatchObject({ status: 'failed', error: { code: 'run_crashed' } })
  })
})

describe('a plain call that ends its process', () => {
  it('hears of it, and no run beside it is charged with that', async () => {
    const call = world.begin()
    world.flow.register('flow::plain')
    for (let death = 1; death <= 5; death++) {
      world.time.advance(2_000)
      const plain = world.caller.call('flow::plain')
      world.settle()
      world.flow.close()
      world.settle()
      expect(world.caller.code(plain)).toBe('invocation_stopped')
      world.flow = world.flowProcess()
      world.flow.register('flow::plain')
      world.time.advance(1_500)
    }
    world.finish('end')
    expect(world.caller.result(call)?.result).toBe('end')
  })
})
