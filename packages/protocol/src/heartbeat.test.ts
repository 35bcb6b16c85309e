import { describe, expect, it } from 'vitest'
import { Heartbeat } from './heartbeat.ts'

/** Which beats of a heartbeat of 1,000 ms found silence; `hears` are the times at which something came in. */
function silentBeats(beats: number[], hears: number[]): number[] {
  const heartbeat = new Heartbeat(1_000, 0)
  const silent: number[] = []
  let heard = 0
  for (const beat of beats) {
    for (; heard < hears.length && hears[heard]! < beat; heard += 1) heartbeat.hear()
    if (heartbeat.isSilent(beat)) silent.push(beat)
  }
  return silent
}

describe('a heartbeat', () => {
  it('finds no silence where every ping is answered', () => {
    expect(silentBeats([1_000, 2_000, 3_000, 4_000], [1_001, 2_001, 3_001])).toEqual([])
  })

  it('finds a side that froze within two beats, wherever between them it froze', () => {
    // Frozen at 2,100: the ping of 3,000 is not answered.
    expect(silentBeats([1_000, 2_000, 3_000, 4_000], [1_001, 2_001])).toEqual([4_000])
    expect(silentBeats([1_000, 2_000, 3_000, 4_000], [1_001])).toContain(3_000)
  })

  it('bears a side that is busy for less than a beat', () => {
    // Busy from 1,999 to 2,990: the ping of 2,000 is answered late.
    expect(silentBeats([1_000, 2_000, 3_000, 4_000], [1_001, 2_990, 3_001])).toEqual([])
  })

  it('judges nobody by a time in which we were stopped ourselves', () => {
    expect(silentBeats([1_000, 2_000, 12_000, 13_000], [1_001, 12_001])).toEqual([])
    expect(silentBeats([1_000, 2_000, 12_000, 13_000, 14_000], [1_001])).toEqual([13_000, 14_000])
  })
})
