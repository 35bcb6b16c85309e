import { hash } from 'node:crypto'
import type { StoreWrite } from '../../../packages/engine/src/core/ports.ts'
import { randomFrom } from '../harness/random.ts'

export const PARTITION = 'state/realm-default/power'

/** Batches of one size; batch `n` is the same in every run with this seed. */
export function batchOf(seed: number, n: number): StoreWrite[] {
  const random = randomFrom(seed * 1_000_003 + n)
  const count = 1 + Math.floor(random() * 3)
  return Array.from({ length: count }, (_, index): StoreWrite => {
    const key = `k${(Math.floor(random() * 17) * 3 + index) % 51}`
    if (random() < 0.12) return { op: 'delete', partition: PARTITION, key }
    // Mostly small; some over many pages, so that a commit reaches the disk in pieces; a few that fill the log.
    const size = n % 50 === 49 ? 600_000 : random() < 0.15 ? 9_000 : Math.floor(random() * 300)
    return {
      op: 'put',
      partition: PARTITION,
      key: n % 50 === 49 ? 'large' : key,
      value: { n, text: text(random, size) },
    }
  })
}

/** Every state that the records may have: after no batch, after the first, after the second, … as one text each. */
export function statesOf(seed: number, batches: number): Map<string, number> {
  const values = new Map<string, string>()
  const states = new Map<string, number>()
  states.set(stateText(values), 0)
  for (let n = 0; n < batches; n += 1) {
    for (const write of batchOf(seed, n)) {
      if (write.op === 'put') values.set(write.key, JSON.stringify(write.value))
      else values.delete(write.key)
    }
    // A batch that changes nothing leaves two names for one state: the later counts.
    states.set(stateText(values), n + 1)
  }
  return states
}

export function stateText(values: ReadonlyMap<string, string>): string {
  return [...values]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${hash('sha1', value)}`)
    .join('\n')
}

function text(random: () => number, size: number): string {
  const word = Math.floor(random() * 2 ** 32).toString(36)
  return word.repeat(Math.ceil(size / word.length)).slice(0, size)
}
