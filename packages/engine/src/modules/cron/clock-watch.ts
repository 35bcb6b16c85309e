import type { Ports, Timer } from '../../core/ports.ts'
import { DAY_MS } from './served-times.ts'

/** A clock that was set is noticed within this time, in milliseconds. */
export const NOTICED_MS = 30_000
/** Corrections below this are what time services do all day. */
const LEAST_MS = 1_000

const BACK =
  'The clock was set back; schedules go on from the new time, and what they served already is not fired again'
const FAR_BACK =
  'The clock was set back by more than a day; schedules go on from the new time, and what they served behind that is ' +
  'fired again, but for the last day in which they ran'

/** Notices that the wall clock was set back, by the one that cannot be set, and tells of it in the log. */
export class ClockWatch {
  private readonly ports: Pick<Ports, 'clock' | 'timers' | 'log'>
  private wall: number
  private steady: number
  private timer: Timer | undefined
  private told: { at: number; byMs: number } | undefined

  constructor(ports: Pick<Ports, 'clock' | 'timers' | 'log'>) {
    this.ports = ports
    this.wall = ports.clock.now()
    this.steady = ports.clock.monotonic()
    this.wake()
  }

  /** When it was last set back, in epoch milliseconds of the clock after that, and by how much. */
  get setBack(): { at: number; byMs: number } | undefined {
    this.check()
    return this.told
  }

  /** Told also by who finds at the start that the clock is behind what is stored. */
  tell(byMs: number): void {
    if (byMs < LEAST_MS) return
    const at = this.ports.clock.now()
    // One jump, found by several.
    if (this.told && Math.abs(at - this.told.at) < NOTICED_MS && byMs <= this.told.byMs) return
    this.told = { at, byMs }
    this.ports.log.warn({ by_ms: byMs }, byMs > DAY_MS ? FAR_BACK : BACK)
  }

  stop(): void {
    if (this.timer) this.ports.timers.clear(this.timer)
  }

  private check(): void {
    const now = this.ports.clock.now()
    const steady = this.ports.clock.monotonic()
    const expected = this.wall + (steady - this.steady)
    this.wall = now
    this.steady = steady
    this.tell(expected - now)
  }

  private wake(): void {
    this.timer = this.ports.timers.set(NOTICED_MS, () => {
      this.check()
      this.wake()
    })
  }
}
