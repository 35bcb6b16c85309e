import { hash } from 'node:crypto'
import type { CallContext } from '../../core/context.ts'
import { BESIDE, type Ports, type StoreWrite } from '../../core/ports.ts'
import { hashOf, KEPT_MS, type KeyRecord, keyReused, type Slot } from './record.ts'

/** Something that a call does in one batch of one partition. */
export interface KeyedWork {
  functionId: string
  context: CallContext
  input: unknown
  /** Partition of the batch, and so of the record of the key. */
  partition: string
}

/** What becomes of the work; one of them runs, once. */
export interface KeyedTurn {
  /** Nothing was done under its key yet, or it has none: do it. */
  first(): void
  /** It was done, with this result. */
  again(result: unknown): void
  /** What `first` or the claim threw after the disk was waited for; before that it is thrown. */
  failed(error: unknown): void
}

/** What came of the work: only what was written is recorded, so there is always a result. */
type WorkRecord = Omit<KeyRecord, 'outcome'> & { outcome: { ok: true; result?: unknown } }

/**
 * Recognizes work by the idempotency key of its call. The record of a key is in the same batch as what was done under it:
 * after a crash both are there or neither is, and the call is made again in either case.
 */
export class KeyRecords {
  private readonly ports: Pick<Ports, 'store' | 'clock'>

  constructor(ports: Pick<Ports, 'store' | 'clock'>) {
    this.ports = ports
  }

  /** Was it done under its key, as far as the store has accepted? Throws `key_reused`. */
  knows(work: KeyedWork): boolean {
    const place = placeOf(work)
    return place !== undefined && this.find(place, work.input) !== undefined
  }

  /** Lets the work be done, unless it was under its key: then it is answered when that is on disk. Throws `key_reused`. */
  once(work: KeyedWork, turn: KeyedTurn): void {
    const place = placeOf(work)
    if (!place || !this.find(place, work.input)) return turn.first()
    const { store } = this.ports
    store.settled(place.partition, place.key, () => {
      try {
        const record = store.get(place.partition, place.key)?.value as WorkRecord | undefined
        if (record) turn.again(record.outcome.result)
        // The disk refused the batch: nothing was done.
        else this.once(work, turn)
      } catch (error) {
        turn.failed(error)
      }
    })
  }

  /** Goes into the batch of the work; nothing where its call has no key. */
  recordOf(work: KeyedWork, result: unknown): StoreWrite[] {
    const place = placeOf(work)
    if (!place) return []
    const now = this.ports.clock.now()
    const value: WorkRecord = {
      function_id: work.functionId,
      input: hashOf(work.input),
      created_at: now,
      outcome: result === undefined ? { ok: true } : { ok: true, result },
    }
    return [{ op: 'put', ...place, value, expires: now + KEPT_MS }]
  }

  private find({ partition, key }: Slot, input: unknown): WorkRecord | undefined {
    const found = this.ports.store.latest(partition, key)?.value as WorkRecord | undefined
    if (found && found.input !== hashOf(input)) throw keyReused()
    return found
  }
}

/** A key belongs to the realm, the principal and the function, as every other does. */
function placeOf({ functionId, context, partition }: KeyedWork): Slot | undefined {
  const { idempotencyKey, principal, realm } = context
  if (idempotencyKey === undefined) return undefined
  const owner = JSON.stringify([realm, principal.kind, principal.id, functionId, idempotencyKey])
  return { partition, key: `${BESIDE}key/${hash('sha256', owner)}` }
}
