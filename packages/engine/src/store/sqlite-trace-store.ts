import type { ErrorBody } from '@agentos/protocol'
import type { Clock, Log } from '../core/ports.ts'
import type { StoreThread } from './store-thread.ts'
import type { Span, TracePage, TracePart, TraceQuery, TraceStore } from './trace-store.ts'

/** Appends that may wait for the thread; past it spans are dropped rather than kept. */
const MAX_WAITING = 64

/** Spans on disk, written by the store's thread. */
export class SqliteTraceStore implements TraceStore {
  private readonly thread: StoreThread
  private readonly clock: Clock
  private readonly log: Log
  private waiting = 0
  private dropped = 0

  constructor(thread: StoreThread, clock: Clock, log: Log) {
    this.thread = thread
    this.clock = clock
    this.log = log
  }

  append(spans: readonly Span[]): void {
    if (this.waiting >= MAX_WAITING) {
      this.dropped += spans.length
      return
    }
    if (this.dropped > 0) {
      this.log.warn({ spans: this.dropped }, 'Spans were dropped: the disk did not keep up')
      this.dropped = 0
    }
    this.waiting += 1
    this.thread.request({ type: 'trace-append', now: this.clock.now(), spans: [...spans] }, (answer) => {
      this.waiting -= 1
      if (!answer.ok) this.log.warn({ spans: spans.length, code: answer.error.code }, answer.error.message)
    })
  }

  byTrace(traceId: string, maxBytes: number, done: (found: TracePart, error?: ErrorBody) => void): void {
    this.thread.request({ type: 'trace-get', traceId, maxBytes }, (answer) =>
      answer.ok ? done(answer.value) : done({ spans: [], cut: false }, answer.error),
    )
  }

  list(query: TraceQuery, done: (page: TracePage, error?: ErrorBody) => void): void {
    this.thread.request({ type: 'trace-list', query }, (answer) =>
      answer.ok ? done(answer.value) : done({ spans: [], total: 0, cut: false }, answer.error),
    )
  }

  clear(realm: string, done: (error?: ErrorBody) => void): void {
    this.thread.request({ type: 'trace-clear', realm }, (answer) => done(answer.ok ? undefined : answer.error))
  }
}
