/** Records of one run: `head`, and its entries under `e/<n>`. Nothing that a run does needs a second partition. */
export function runPartition(realm: string, run: string): string {
  return `journal/${encodeURIComponent(realm)}/${run}`
}

export function entryKey(n: number): string {
  return `e/${String(n).padStart(9, '0')}`
}

/**
 * The indexes. Each is written before the run's own records; one that names a run that is not there means nothing.
 * `OPEN`: runs to take up after a start, by id.
 */
export const OPEN = 'journal-open'

/** Runs that are over, oldest first, for the sweep. */
export const FINISHED = 'journal-finished'

export interface FinishedRecord {
  id: string
  realm: string
  createdAt: number
}

/** All runs of a realm, newest first. */
export function listPartition(realm: string): string {
  return `journal-list/${encodeURIComponent(realm)}`
}

/** Idempotency keys of a realm. */
export function keyPartition(realm: string): string {
  return `journal-key/${encodeURIComponent(realm)}`
}

const FAR = 9_999_999_999_999

/** Sorts the newest first. */
export function listKey(createdAt: number, run: string): string {
  return `${String(FAR - createdAt).padStart(13, '0')}/${run}`
}

/** Sorts the oldest first. */
export function finishedKey(finishedAt: number, run: string): string {
  return `${String(finishedAt).padStart(13, '0')}/${run}`
}
