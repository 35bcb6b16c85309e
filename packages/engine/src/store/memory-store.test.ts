import { describe, expect, it } from 'vitest'
import type { Timer, Timers } from '../core/ports.ts'
import { MemoryDisk, MemoryStore } from './memory-store.ts'
import { changes, put, storeContract, write } from './store.contract.ts'

const clock = { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() }

/** Real timers that a test can stop, as the simulator does when it kills the engine. */
class StoppableTimers implements Timers {
  private readonly handles = new Map<Timer, NodeJS.Timeout>()

  set(delayMs: number, run: () => void): Timer {
    const timer = { due: performance.now() + delayMs }
    this.handles.set(timer, setTimeout(run, delayMs))
    return timer
  }

  clear(timer: Timer): void {
    clearTimeout(this.handles.get(timer))
  }

  stop(): void {
    for (const handle of this.handles.values()) clearTimeout(handle)
  }
}

storeContract('MemoryStore', async (testClock) => {
  const disk = new MemoryDisk()
  const shifted = { ...clock, now: () => Date.now() + testClock.offsetMs }
  const open = () => new MemoryStore({ clock: shifted, timers: new StoppableTimers(), disk })
  const store = open()
  return {
    store,
    reopen: async () => {
      await new Promise<void>((resolve) => store.partitions('', {}, () => resolve()))
      return open()
    },
    close: async () => {},
  }
})

describe('MemoryStore under a crash', () => {
  it('loses what was accepted and keeps what was committed', async () => {
    const timers = new StoppableTimers()
    const disk = new MemoryDisk()
    const store = new MemoryStore({ clock, timers, disk })
    await write(store, [put('kept', 1)])
    let answered = false
    store.write([put('lost', 1)], () => {
      answered = true
    })
    timers.stop()
    const next = new MemoryStore({ clock, timers: new StoppableTimers(), disk })
    await write(next, [put('later', 1)])
    expect(answered).toBe(false)
    expect(next.get('state/realm-a/users', 'kept')?.value).toBe(1)
    expect(next.get('state/realm-a/users', 'lost')).toBeUndefined()
  })

  it('turns what expired into a deletion with a sequence of its own', async () => {
    const store = new MemoryStore({ clock, timers: new StoppableTimers() })
    await write(store, [put('a', 1, { expires: Date.now() + 5 })])
    const last = async () => (await changes(store, 'state/', 0)).at(-1)
    await expect.poll(last).toMatchObject({ key: 'a', deleted: true, version: 2, seq: 2 })
  })
})
