import { beforeEach, describe, expect, it } from 'vitest'
import { ManualTime } from '../../test/host.ts'
import { GuestPace, type Paced } from './guest-pace.ts'

class FakeSocket implements Paced {
  readonly OPEN = 1
  readyState: Paced['readyState'] = 1
  paused = false
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
}

describe('frames of guests', () => {
  let time: ManualTime
  let pace: GuestPace
  const takes = (ms: number) => () => time.advance(ms)

  beforeEach(() => {
    time = new ManualTime(0)
    pace = new GuestPace({ share: 0.25, now: () => time.monotonic(), after: (ms, run) => time.set(ms, run) })
  })

  it('are taken as they come while they are few', () => {
    const socket = new FakeSocket()
    for (let n = 0; n < 100; n += 1) {
      pace.work(socket, takes(2))
      expect(socket.paused).toBe(false)
      time.advance(6)
    }
  })

  it('wait, past their share of the engine’s time, until they are within it again', () => {
    const socket = new FakeSocket()
    let worked = 0
    const began = time.monotonic()
    while (time.monotonic() - began < 10_000) {
      if (socket.paused) time.advance(1)
      else {
        pace.work(socket, takes(2))
        worked += 2
      }
    }
    expect(worked).toBeGreaterThan(2_400)
    expect(worked).toBeLessThan(2_600)
  })

  it('of many sockets are read one after the other', () => {
    const sockets = Array.from({ length: 50 }, () => new FakeSocket())
    const turns = new Map<FakeSocket, number>()
    let worked = 0
    for (let ms = 0; ms < 20_000; ms += 1) {
      for (const socket of sockets) {
        if (socket.paused) continue
        // As much as comes in one piece, whatever is said meanwhile.
        pace.work(socket, () => {})
        pace.work(socket, takes(30))
        worked += 30
        turns.set(socket, (turns.get(socket) ?? 0) + 1)
      }
      time.advance(1)
    }
    const counts = [...turns.values()]
    expect(counts).toHaveLength(50)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    expect(worked / time.monotonic()).toBeLessThan(0.35)
  })

  it('of a socket that has closed are waited for by nobody', () => {
    const [first, second] = [new FakeSocket(), new FakeSocket()]
    pace.work(first, takes(100))
    pace.work(second, takes(100))
    first.readyState = 3
    pace.forget(first)
    time.advance(1_000)
    expect([first.paused, second.paused]).toEqual([true, false])
    pace.work(first, takes(1_000))
    time.advance(10_000)
    expect(first.paused).toBe(true)
  })

  it('count also where they fail', () => {
    const socket = new FakeSocket()
    const fail = () => {
      time.advance(60)
      throw new Error('no')
    }
    expect(() => pace.work(socket, fail)).toThrow('no')
    expect(socket.paused).toBe(true)
  })
})
