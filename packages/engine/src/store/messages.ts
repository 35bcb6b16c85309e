import type { ErrorBody } from '@agentos/protocol'
import type { BackupManifest } from './backup.ts'
import type { StoredBatch } from './batch.ts'
import type { Page, StoredRow } from './record.ts'
import type { BatchOutcome } from './record-database.ts'
import type { Span, TraceBounds, TracePage, TracePart, TraceQuery } from './trace-store.ts'

/** What the store's thread is started with. */
export interface ThreadData {
  folder: string
  traces: TraceBounds
}

/** Everything that goes to the thread. `now` is the wall clock of the engine, which decides what has expired. */
export type StoreRequest =
  | { type: 'commit'; now: number; batches: StoredBatch[] }
  | { type: 'range'; now: number; partition: string; prefix?: string; after?: string; limit: number; maxBytes?: number }
  | { type: 'partitions'; now: number; prefix: string; after?: string; maxBytes?: number }
  | { type: 'changes'; prefix: string; after: number; limit: number; maxBytes?: number }
  | { type: 'expired'; now: number; limit: number }
  | { type: 'prune'; keep: number }
  | { type: 'backup'; target: string }
  | { type: 'trace-append'; now: number; spans: Span[] }
  | { type: 'trace-get'; traceId: string; maxBytes: number }
  | { type: 'trace-list'; query: TraceQuery }
  | { type: 'trace-clear'; realm: string }

/** What the thread answers to each. */
export interface StoreAnswers {
  commit: BatchOutcome[]
  range: Page<StoredRow>
  partitions: Page<string>
  changes: Page<StoredRow>
  expired: { partition: string; key: string; version: number }[]
  prune: null
  backup: BackupManifest
  'trace-append': null
  'trace-get': TracePart
  'trace-list': TracePage
  'trace-clear': null
}

export type Answer<T extends StoreRequest['type'] = StoreRequest['type']> =
  | { ok: true; value: StoreAnswers[T] }
  | { ok: false; error: ErrorBody }

/** To the thread; without a request it closes its files and ends. */
export interface ToThread {
  id: number
  request?: StoreRequest
}

/** From the thread: first how it opened, then the answers, those of one round in one message. */
export type FromThread =
  | { type: 'ready'; lastSeq: number; warnings: string[] }
  | { type: 'failed'; error: ErrorBody }
  | { type: 'answers'; answers: { id: number; answer: Answer }[] }
