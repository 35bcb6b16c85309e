import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import {
  isInternal,
  isRoot,
  partOf,
  type Span,
  type TraceBounds,
  type TracePage,
  type TracePart,
  type TraceQuery,
} from './trace-store.ts'

const TRACE_FORMAT = 1

const SCHEMA = `
  CREATE TABLE spans (
    id INTEGER PRIMARY KEY,
    trace_id TEXT NOT NULL,
    realm TEXT NOT NULL,
    root INTEGER NOT NULL,
    internal INTEGER NOT NULL,
    name TEXT NOT NULL,
    service TEXT NOT NULL,
    status TEXT NOT NULL,
    start_ms REAL NOT NULL,
    duration_ms REAL NOT NULL,
    end_ms REAL NOT NULL,
    bytes INTEGER NOT NULL,
    body TEXT NOT NULL
  );
  CREATE INDEX spans_by_trace ON spans (trace_id);
  CREATE INDEX spans_by_root ON spans (realm, root, internal, start_ms);
`

/** One attribute of the JSON body as text. */
const ATTRIBUTE = `EXISTS (SELECT 1 FROM json_each(spans.body, '$.attributes') AS attribute WHERE attribute.key = ? AND
  CASE attribute.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(attribute.value AS TEXT) END = ?)`

/** As `isFiring` has it. */
const FIRING = `root = 1 AND body ->> '$.kind' = 'trigger'`

const SORT = { start_time: 'start_ms', duration: 'duration_ms', name: 'name' }

/** The traces' file, as the store's thread holds it. It is not synced: a crash may cost the last spans. */
export class TraceDatabase {
  private readonly db: DatabaseSync
  private readonly bounds: TraceBounds
  private readonly insert: StatementSync
  private count: number
  private bytes: number

  constructor(path: string, bounds: TraceBounds) {
    this.bounds = bounds
    this.db = new DatabaseSync(path, { timeout: 200 })
    this.db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA journal_size_limit = 16777216')
    const { user_version: format } = this.db.prepare('PRAGMA user_version').get() as { user_version: number }
    // Traces are a view of the past that nothing depends on: another version's are thrown away, not migrated.
    if (format !== TRACE_FORMAT) {
      this.db.exec(`BEGIN; DROP TABLE IF EXISTS spans; ${SCHEMA} PRAGMA user_version = ${TRACE_FORMAT}; COMMIT`)
    }
    this.insert = this.db.prepare(
      `INSERT INTO spans (trace_id, realm, root, internal, name, service, status, start_ms, duration_ms, end_ms, bytes, body)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    const { count, bytes } = this.db.prepare('SELECT count(*) AS count, total(bytes) AS bytes FROM spans').get() as {
      count: number
      bytes: number
    }
    this.count = count
    this.bytes = bytes
  }

  append(spans: readonly Span[], now: number): void {
    this.transaction(() => {
      for (const span of spans) {
        const body = JSON.stringify(span)
        const duration = span.endMs - span.startMs
        this.insert.run(
          span.traceId,
          span.realm,
          isRoot(span) ? 1 : 0,
          isInternal(span) ? 1 : 0,
          span.name,
          span.service,
          span.status,
          span.startMs,
          duration,
          span.endMs,
          body.length,
          body,
        )
        this.count += 1
        this.bytes += body.length
      }
      this.trim(now)
    })
  }

  byTrace(traceId: string, maxBytes: number): TracePart {
    const rows = this.db.prepare('SELECT body FROM spans WHERE trace_id = ? ORDER BY start_ms').iterate(traceId)
    return toPart(rows, maxBytes)
  }

  list(query: TraceQuery): TracePage {
    const { sql, values } = where(query)
    const { total } = this.db.prepare(`SELECT count(*) AS total FROM spans WHERE ${sql}`).get(...values) as {
      total: number
    }
    const rows = this.db
      .prepare(
        `SELECT body FROM spans WHERE ${sql} ORDER BY ${SORT[query.sortBy]} ${query.descending ? 'DESC' : 'ASC'}
         LIMIT ? OFFSET ?`,
      )
      .iterate(...values, query.limit, query.offset)
    return { ...toPart(rows, query.maxBytes), total }
  }

  clear(realm: string): void {
    this.db.prepare('DELETE FROM spans WHERE realm = ?').run(realm)
    this.recount()
  }

  close(): void {
    this.db.close()
  }

  /** Deletes the oldest, somewhat more than needed so that it is not done for every span. */
  private trim(now: number): void {
    const cut = Math.max(this.lastExcessId(), this.lastOldId(now - this.bounds.maxAgeMs))
    if (cut === 0) return
    const gone = this.db.prepare('SELECT count(*) AS count, total(bytes) AS bytes FROM spans WHERE id <= ?').get(cut)
    this.db.prepare('DELETE FROM spans WHERE id <= ?').run(cut)
    this.count -= Number(gone?.count)
    this.bytes -= Number(gone?.bytes)
  }

  private lastExcessId(): number {
    const excess = Math.max(this.count / this.bounds.maxSpans, this.bytes / this.bounds.maxBytes)
    if (excess <= 1) return 0
    const drop = Math.min(this.count, Math.ceil(this.count * (1 - 0.95 / excess)))
    return Number(this.db.prepare('SELECT id FROM spans ORDER BY id LIMIT 1 OFFSET ?').get(drop - 1)?.id ?? 0)
  }

  private lastOldId(oldest: number): number {
    const first = this.db.prepare('SELECT id, end_ms FROM spans ORDER BY id LIMIT 1').get()
    if (!first || Number(first.end_ms) >= oldest) return 0
    const kept = this.db.prepare('SELECT id FROM spans WHERE end_ms >= ? ORDER BY id LIMIT 1').get(oldest)
    if (kept) return Number(kept.id) - 1
    return Number(this.db.prepare('SELECT max(id) AS id FROM spans').get()?.id ?? 0)
  }

  private recount(): void {
    const { count, bytes } = this.db.prepare('SELECT count(*) AS count, total(bytes) AS bytes FROM spans').get() as {
      count: number
      bytes: number
    }
    this.count = count
    this.bytes = bytes
  }

  private transaction(work: () => void): void {
    this.db.exec('BEGIN')
    try {
      work()
      this.db.exec('COMMIT')
    } catch (error) {
      if (this.db.isTransaction) this.db.exec('ROLLBACK')
      this.recount()
      throw error
    }
  }
}

function where(query: TraceQuery): { sql: string; values: SQLInputValue[] } {
  const parts: [sql: string, ...values: SQLInputValue[]][] = [
    query.firingsOf === undefined
      ? ['realm = ?', query.realm]
      : [`(realm = ? OR (realm = ? AND ${FIRING}))`, query.realm, query.firingsOf],
  ]
  if (query.rootsOnly) parts.push(['root = 1'])
  if (!query.includeInternal) parts.push(['internal = 0'])
  if (query.traceIds) parts.push([`trace_id IN (${query.traceIds.map(() => '?').join()})`, ...query.traceIds])
  if (query.service !== undefined) parts.push(['service = ?', query.service])
  if (query.name !== undefined) parts.push(['instr(lower(name), lower(?)) > 0', query.name])
  if (query.status !== undefined) parts.push(['status = ?', query.status])
  if (query.minDurationMs !== undefined) parts.push(['duration_ms >= ?', query.minDurationMs])
  if (query.maxDurationMs !== undefined) parts.push(['duration_ms <= ?', query.maxDurationMs])
  if (query.startMs !== undefined) parts.push(['start_ms >= ?', query.startMs])
  if (query.endMs !== undefined) parts.push(['start_ms <= ?', query.endMs])
  for (const [name, value] of query.attributes ?? []) parts.push([ATTRIBUTE, name, value])
  return { sql: parts.map(([sql]) => sql).join(' AND '), values: parts.flatMap(([, ...values]) => values) }
}

function toPart(rows: Iterable<Record<string, unknown>>, maxBytes: number): TracePart {
  const { taken, cut } = partOf(rows, maxBytes, ({ body }) => Buffer.byteLength(String(body)))
  return { spans: taken.map(({ body }) => JSON.parse(String(body)) as Span), cut }
}
