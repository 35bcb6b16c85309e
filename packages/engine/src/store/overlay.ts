import type { Slot, StoredBatch } from './batch.ts'
import { isExpired } from './record.ts'

/** A write that was accepted and is not yet durable. */
export interface PendingWrite {
  key: string
  /** JSON text; `null` for a deletion. */
  value: string | null
  version: number
  seq: number
  expires: number | null
}

/**
 * Accepted writes on top of what is committed, by key and in order. A batch takes its writes away again when it is
 * durable or has failed, whichever batches came after it.
 */
export class Overlay {
  private readonly entries = new Map<string, { owner: StoredBatch; write: PendingWrite }[]>()
  private readonly waiters = new Map<string, (() => void)[]>()

  latest(partition: string, key: string): PendingWrite | undefined {
    return this.entries.get(slotId(partition, key))?.at(-1)?.write
  }

  slot(partition: string, key: string, now: number): Slot | undefined {
    const write = this.latest(partition, key)
    if (!write) return undefined
    if (write.value === null) return { version: write.version, state: 'deleted' }
    return { version: write.version, state: isExpired(write.expires, now) ? 'expired' : 'live' }
  }

  add(batch: StoredBatch, versions: readonly number[], changes: readonly boolean[]): void {
    batch.writes.forEach((write, index) => {
      if (!changes[index]) return
      const id = slotId(batch.partition, write.key)
      const entry = {
        owner: batch,
        write: {
          key: write.key,
          value: write.json,
          version: versions[index] ?? 0,
          seq: write.seq,
          expires: write.expires,
        },
      }
      const list = this.entries.get(id)
      if (list) list.push(entry)
      else this.entries.set(id, [entry])
    })
  }

  remove(batch: StoredBatch): void {
    for (const write of batch.writes) {
      const id = slotId(batch.partition, write.key)
      const list = this.entries.get(id)
      if (!list) continue
      const left = list.filter((entry) => entry.owner !== batch)
      if (left.length > 0) {
        this.entries.set(id, left)
        continue
      }
      this.entries.delete(id)
      const waiting = this.waiters.get(id)
      this.waiters.delete(id)
      for (const done of waiting ?? []) done()
    }
  }

  whenSettled(partition: string, key: string, done: () => void): void {
    const id = slotId(partition, key)
    if (!this.entries.has(id)) {
      done()
      return
    }
    const list = this.waiters.get(id)
    if (list) list.push(done)
    else this.waiters.set(id, [done])
  }
}

function slotId(partition: string, key: string): string {
  return `${partition}\0${key}`
}
