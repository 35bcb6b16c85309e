import { describe, expect, it } from 'vitest'
import { DEFAULT_REALM } from '../../src/core/context.ts'
import { Core } from '../../src/core/core.ts'
import type { Store } from '../../src/core/ports.ts'
import { createEngineModule } from '../../src/modules/engine/functions.ts'
import { Peer } from './peer.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env.SIMULATION_SEEDS ?? 300)
const FIRST_SEED = Number(process.env.SIMULATION_SEED ?? 1)
const CHAOS_MS = 3_000
const CALM_MS = 3_000 + 30_000

const noStore: Store = {
  get: () => undefined,
  latest: () => undefined,
  nextVersion: () => 1,
  settled: (_partition, _key, done) => done(),
  write: (_batch, done) => done({ ok: true, records: [] }),
  range: (_partition, _options, done) => done([]),
  partitions: (_prefix, _options, done) => done([]),
  changes: (_prefix, _options, done) => done([]),
  trouble: () => undefined,
}

/** One run: peers call each other while sockets are cut at random; then it gets calm. */
function simulate(seed: number): { core: Core; peers: Peer[] } {
  const world = new World(seed)
  const core = new Core({ ports: world.ports(noStore), limits: { workerWaitMs: 200, inFlightPerWorker: 4 } })
  core.start([createEngineModule(core)])
  const guest = { principal: { kind: 'guest', id: 'guest' }, realm: DEFAULT_REALM } as const
  const owner = { principal: { kind: 'owner', id: 'owner' }, realm: DEFAULT_REALM } as const
  const peers = [
    new Peer(world, core, 'a', ['a::one', 'a::two'], guest),
    new Peer(world, core, 'b', ['b::one', 'b::two'], owner),
    new Peer(world, core, 'c', ['c::one'], guest),
  ]
  for (const peer of peers) peer.connect()
  for (let at = 10; at < CHAOS_MS; at += world.between(5, 40)) {
    world.after(at, () => {
      const peer = peers[world.between(0, peers.length - 1)]!
      const dice = world.random()
      if (dice < 0.7) peer.call(['a::one', 'b::two', 'c::one', 'nobody::there'][world.between(0, 3)]!)
      // Often the peer is back before the engine has noticed that the old socket is dead.
      else if (dice < 0.85) {
        peer.cut(world.between(0, 500))
        world.after(world.between(0, 300), () => peer.connect())
      } else peer.connect()
    })
  }
  world.after(CHAOS_MS, () => {
    for (const peer of peers) {
      peer.calm = true
      peer.cut(world.between(0, 500))
      world.after(world.between(0, 300), () => peer.connect())
    }
  })
  world.runUntil(CALM_MS)
  return { core, peers }
}

const WIDTH = { system: 4, owner: 3, worker: 2, guest: 1, agent: 0 }

describe('the core under random cuts, delays and reconnects', () => {
  it(`keeps its promises over ${SEEDS} seeds`, { timeout: 120_000 }, () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
      const { core, peers } = simulate(seed)
      const where = `seed ${seed} (replay: SIMULATION_SEED=${seed} SIMULATION_SEEDS=1)`
      for (const peer of peers) {
        expect(peer.wrong, where).toEqual([])
        const hanging = [...peer.asked.values()].filter((asked) => asked.answers !== 1)
        expect(hanging, `every call of a living caller is answered exactly once, ${where}`).toEqual([])
        for (const id of peer.functions) {
          const ids = core.registry.registrations(id, DEFAULT_REALM).map((registration) => registration.connection.open)
          expect(ids, `a late clean-up never removes a newer registration of ${id}, ${where}`).toEqual([true])
        }
        for (const { child, from, deadlineAt } of peer.delivered) {
          expect(child.realm, where).toBe(from.realm)
          expect(WIDTH[child.principal.kind], `authority never widens, ${where}`).toBeLessThanOrEqual(
            WIDTH[from.principal.kind],
          )
          if (from.deadlineAt !== undefined) {
            expect(deadlineAt, `a child has a deadline, ${where}`).toBeDefined()
            // The time left travels in whole milliseconds.
            expect(deadlineAt! - from.deadlineAt, `no later than its parent's, ${where}`).toBeLessThanOrEqual(1)
          }
        }
      }
      expect(core.calls.counts().inFlight, `the table is empty in the end, ${where}`).toBe(0)
      expect(core.calls.counts().waiting, where).toBe(0)
    }
  })
})
