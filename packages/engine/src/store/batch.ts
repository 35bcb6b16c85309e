import { EngineError, type ErrorBody } from '@agentos/protocol'
import type { StoreOutcome, StoreWrite } from '../core/ports.ts'
import { isExpired, type StoredRow } from './record.ts'

/** One write on its way to the disk. `expire` deletes a record whose time is up, if nobody wrote it since. */
export interface StoredWrite {
  op: 'put' | 'delete' | 'expire'
  key: string
  /** JSON text of a put. */
  json: string | null
  expected: number | null
  /** The version that it has to become. */
  becomes: number | null
  expires: number | null
  seq: number
}

export interface StoredBatch {
  partition: string
  writes: StoredWrite[]
}

/** What a key holds before a write. `version` goes on counting over a deletion as long as that is remembered. */
export interface Slot {
  version: number
  state: 'live' | 'expired' | 'deleted' | 'absent'
}

const ABSENT: Slot = { version: 0, state: 'absent' }

/** Versions after the batch, and which writes change anything (deleting nothing does not); or why none may happen. */
export type Verdict = { ok: true; versions: number[]; changes: boolean[] } | { ok: false; error: ErrorBody }

/** Decides a whole batch before any of it is written; later writes of the same key see the earlier ones. */
export function judge(batch: StoredBatch, slotOf: (key: string) => Slot): Verdict {
  const within = new Map<string, Slot>()
  const versions: number[] = []
  const changes: boolean[] = []
  for (const write of batch.writes) {
    const slot = within.get(write.key) ?? slotOf(write.key)
    const current = write.op === 'expire' ? slot.version : slot.state === 'live' ? slot.version : 0
    if (write.expected !== null && write.expected !== current) {
      return { ok: false, error: conflict(batch.partition, write.key, write.expected, current) }
    }
    if (write.becomes !== null && write.becomes !== slot.version + 1) {
      return { ok: false, error: conflict(batch.partition, write.key, write.becomes - 1, slot.version) }
    }
    const nothing = write.op !== 'put' && (slot.state === 'absent' || slot.state === 'deleted')
    const version = nothing ? slot.version : slot.version + 1
    versions.push(version)
    changes.push(!nothing)
    if (!nothing) within.set(write.key, { version, state: write.op === 'put' ? 'live' : 'deleted' })
  }
  return { ok: true, versions, changes }
}

function conflict(partition: string, key: string, expected: number, current: number): ErrorBody {
  const found = current === 0 ? 'it does not exist' : `its version is ${current}`
  return new EngineError('version_conflict', `Expected version ${expected} of '${key}', but ${found}`, {
    details: { partition, key, expectedVersion: expected, currentVersion: current },
  }).toBody()
}

/**
 * Turns what a module asked for into what goes to disk, numbering the writes from `seq`. Throws
 * `serialization_error` for a value that JSON cannot hold, and an ordinary error for a batch over two partitions.
 */
export function toStoredBatch(writes: readonly StoreWrite[], nextSeq: () => number): StoredBatch {
  const partition = writes[0]?.partition
  if (partition === undefined) throw new Error('A batch needs at least one write')
  const texts = writes.map((write) => {
    if (write.partition !== partition) throw new Error(`A batch may not span ${partition} and ${write.partition}`)
    return write.op === 'put' ? toJson(write.value, write.key) : null
  })
  return {
    partition,
    writes: writes.map((write, index) => ({
      op: write.op,
      key: write.key,
      json: texts[index] ?? null,
      expected: write.expectedVersion ?? null,
      becomes: (write.op === 'put' ? write.becomes : undefined) ?? null,
      expires: (write.op === 'put' ? write.expires : undefined) ?? null,
      seq: nextSeq(),
    })),
  }
}

function toJson(value: unknown, key: string): string {
  try {
    return JSON.stringify(value) ?? 'null'
  } catch (cause) {
    throw new EngineError('serialization_error', `The value of '${key}' cannot be written as JSON`, { cause })
  }
}

export function slotOf(row: Pick<StoredRow, 'value' | 'version' | 'expires'> | undefined, now: number): Slot {
  if (!row) return ABSENT
  if (row.value === null) return { version: row.version, state: 'deleted' }
  return { version: row.version, state: isExpired(row.expires, now) ? 'expired' : 'live' }
}

export function accepted(batch: StoredBatch, versions: readonly number[]): StoreOutcome {
  return { ok: true, records: batch.writes.map((write, index) => ({ version: versions[index] ?? 0, seq: write.seq })) }
}
