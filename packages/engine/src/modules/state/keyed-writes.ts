import { hash } from 'node:crypto'
import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import { BESIDE, type StoreWrite } from '../../core/ports.ts'
import { hashOf, KEPT_MS, type KeyRecord, keyReused } from '../keys/record.ts'
import { guarded } from '../serve.ts'

/** Where the record of a write's key lies: in the partition of its scope, so that both are one batch. */
interface Place {
  partition: string
  key: string
}

/** What came of a write: only what was written is recorded, so there is always a result. */
type WriteRecord = Omit<KeyRecord, 'outcome'> & { outcome: { ok: true; result?: unknown } }

/**
 * Recognizes writes by their idempotency key. The record of a key is in the same batch as its write: after a crash both
 * are there or neither is, and the call is made again in either case.
 */
export class KeyedWrites {
  private readonly host: ModuleHost

  constructor(host: ModuleHost) {
    this.host = host
  }

  /** Runs `write`, unless the call's key has a result already: then that is the answer. Throws `key_reused`. */
  once(call: BuiltinCall, partition: string, write: () => void): void {
    const place = placeOf(call, partition)
    if (!place) return write()
    const { store } = this.host.ports
    const found = store.latest(place.partition, place.key)?.value as WriteRecord | undefined
    if (!found) return write()
    if (found.input !== hashOf(call.input)) throw keyReused()
    store.settled(place.partition, place.key, () =>
      guarded(this.host, call, () => {
        const record = store.get(place.partition, place.key)?.value as WriteRecord | undefined
        if (record) call.reply(record.outcome.result)
        // The disk refused the batch: nothing was written.
        else this.once(call, partition, write)
      }),
    )
  }

  /** Goes into the batch of the call's write; nothing for a call without a key. */
  recordOf(call: BuiltinCall, partition: string, result: unknown): StoreWrite[] {
    const place = placeOf(call, partition)
    if (!place) return []
    const now = this.host.ports.clock.now()
    const value: WriteRecord = {
      function_id: call.functionId,
      input: hashOf(call.input),
      created_at: now,
      outcome: result === undefined ? { ok: true } : { ok: true, result },
    }
    return [{ op: 'put', ...place, value, expires: now + KEPT_MS }]
  }
}

/** A key belongs to the realm, the principal and the function, as every other does. */
function placeOf({ functionId, context }: BuiltinCall, partition: string): Place | undefined {
  const { idempotencyKey, principal, realm } = context
  if (idempotencyKey === undefined) return undefined
  const owner = JSON.stringify([realm, principal.kind, principal.id, functionId, idempotencyKey])
  return { partition, key: `${BESIDE}key/${hash('sha256', owner)}` }
}
