import { hash } from 'node:crypto'
import type { CallContext } from '../../core/context.ts'
import type { StoreWrite } from '../../core/ports.ts'

/** How long an idempotency key stands for the job that it was first used for. */
const KEPT_MS = 24 * 3_600_000

/** Written with a job that came with an idempotency key, under `key/…` of the same partition. */
export type Marker = Extract<StoreWrite, { op: 'put' }> & { value: { id: string; hash: string } }

/** A key belongs to who gave it and to the function; the realm is that of the partition. */
export function markerOf(
  partition: string,
  job: { id: string; functionId: string; data: unknown; context: CallContext },
  now: number,
): Marker | undefined {
  const { idempotencyKey, principal } = job.context
  if (idempotencyKey === undefined) return undefined
  const owner = JSON.stringify([principal.kind, principal.id, job.functionId, idempotencyKey])
  return {
    op: 'put',
    partition,
    key: `key/${hash('sha256', owner)}`,
    value: { id: job.id, hash: hash('sha256', JSON.stringify(job.data ?? null)) },
    expires: now + KEPT_MS,
  }
}
