import * as crypto from 'node:crypto'
import type { SQLInputValue } from 'node:sqlite'
import { Memory } from '@agentos/contracts/memory'
import { MEMORY } from '../scopes.ts'
import type { TermStatistics } from '../scoring.ts'
import { terms } from '../terms.ts'
import type { Change } from '../truth.ts'
import type { Database } from './database.ts'

export interface Filters {
  sessionId?: string | null | undefined
  role?: string | null | undefined
  type?: string | null | undefined
  tags?: string[] | null | undefined
  since?: number | null | undefined
  until?: number | null | undefined
}

/** A memory with what the index knows of it beside. */
export interface IndexedMemory {
  memory: Memory
  /** Version of the record in the truth. */
  version: number
  terms: string[]
}

const FOUND = 'SELECT m.version, m.terms, m.record FROM memories m'
const memorySchema = Memory()

/** The memories of one realm, by word, time and filter. */
export class MemoryTable {
  private readonly database: Database
  private totals: { documents: number; averageLength: number } | undefined

  constructor(database: Database) {
    this.database = database
  }

  clear(): void {
    this.totals = undefined
    this.database.run('DELETE FROM memories')
    this.database.run("INSERT INTO memory_terms (memory_terms) VALUES ('delete-all')")
  }

  /** Markers and records that are no memories are passed over. */
  apply({ scope, key, value, deleted, version }: Change): void {
    const agent = scope.slice(MEMORY.length)
    const parsed = deleted ? undefined : memorySchema.safeParse(value)
    if (parsed?.success && parsed.data.id === key) this.put(agent, parsed.data, version)
    else this.remove(agent, key)
  }

  private put(agent: string, memory: Memory, version: number): void {
    const { database } = this
    const current = memory.supersededBy === undefined ? 1 : 0
    const record = JSON.stringify(memory)
    const old = database.one(
      "SELECT row, current, json_extract(record, '$.content') AS content FROM memories WHERE agent = ? AND id = ?",
      agent,
      memory.id,
    )
    if (old && old.content === memory.content && old.current === current) {
      // What recall counts changes often and says nothing new to the full-text index.
      database.run(
        'UPDATE memories SET version = ?, role = ?, type = ?, session = ?, timestamp = ?, expires = ?, importance = ?, record = ? WHERE row = ?',
        ...[version, memory.role, memory.type, memory.sessionId, memory.timestamp, memory.expiresAt ?? null],
        ...[memory.importance, record, old.row as number],
      )
      return
    }
    if (old) this.remove(agent, memory.id)
    const found = terms(memory.content)
    const text = found.join(' ')
    const { lastRow } = database.run(
      `INSERT INTO memories (agent, id, version, role, type, session, timestamp, expires, importance, current, length, terms, record)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ...[agent, memory.id, version, memory.role, memory.type, memory.sessionId, memory.timestamp],
      ...[memory.expiresAt ?? null, memory.importance, current, found.length, text, record],
    )
    if (current) {
      database.run('INSERT INTO memory_terms (rowid, agent, terms) VALUES (?, ?, ?)', lastRow, agentTerm(agent), text)
    }
    this.totals = undefined
  }

  private remove(agent: string, id: string): void {
    const row = this.database.one('SELECT row FROM memories WHERE agent = ? AND id = ?', agent, id)?.row
    if (row === undefined) return
    this.database.run('DELETE FROM memory_terms WHERE rowid = ?', row as number)
    this.database.run('DELETE FROM memories WHERE row = ?', row as number)
    this.totals = undefined
  }

  /** The best by BM25 of those that contain any of the terms. User text never reaches the query language. */
  matching(agent: string, wanted: readonly string[], filters: Filters, now: number, limit: number): IndexedMemory[] {
    if (wanted.length === 0) return []
    const query = `agent : ${agentTerm(agent)} AND terms : (${wanted.map(quoted).join(' OR ')})`
    const where = conditions(filters, now)
    // Only row numbers are sorted; the records of the best are read afterwards.
    return this.database
      .all(
        `${FOUND} JOIN (
           SELECT m.row AS best, bm25(memory_terms, 0.0, 1.0) AS rank
           FROM memory_terms JOIN memories m ON m.row = memory_terms.rowid
           WHERE memory_terms MATCH ? AND m.agent = ?${where.sql} ORDER BY rank LIMIT ?
         ) ON m.row = best ORDER BY rank`,
        query,
        agent,
        ...where.values,
        limit,
      )
      .map(toIndexed)
  }

  /** Newest first; `before` is the place of the last one of the page before. */
  newest(
    agent: string,
    filters: Filters,
    now: number,
    limit: number,
    before?: { timestamp: number; id: string },
  ): IndexedMemory[] {
    const where = conditions(filters, now)
    const place: SQLInputValue[] = before ? [before.timestamp, before.id] : []
    return this.database
      .all(
        `${FOUND} WHERE m.agent = ? AND m.current = 1${where.sql}${before ? ' AND (m.timestamp, m.id) < (?, ?)' : ''}
         ORDER BY m.timestamp DESC, m.id DESC LIMIT ?`,
        agent,
        ...where.values,
        ...place,
        limit,
      )
      .map(toIndexed)
  }

  count(agent: string, filters: Filters, now: number): number {
    const where = conditions(filters, now)
    const sql = `SELECT count(*) AS n FROM memories m WHERE m.agent = ? AND m.current = 1${where.sql}`
    return this.database.one(sql, agent, ...where.values)!.n as number
  }

  /** Every memory of an agent, superseded and expired ones too. */
  all(agent: string): IndexedMemory[] {
    return this.database.all(`${FOUND} WHERE m.agent = ? ORDER BY m.row`, agent).map(toIndexed)
  }

  agents(): string[] {
    return this.database.all('SELECT DISTINCT agent FROM memories ORDER BY agent').map(({ agent }) => agent as string)
  }

  /** How many memories contain each term; those that none contains are left out. */
  frequencies(wanted: readonly string[]): Map<string, number> {
    const frequency = new Map<string, number>()
    for (const term of new Set(wanted)) {
      const row = this.database.one('SELECT doc FROM term_counts WHERE term = ?', term)
      if (row) frequency.set(term, row.doc as number)
    }
    return frequency
  }

  statistics(wanted: readonly string[]): TermStatistics {
    this.totals ??= this.readTotals()
    return { ...this.totals, frequency: this.frequencies(wanted) }
  }

  private readTotals(): { documents: number; averageLength: number } {
    const row = this.database.one('SELECT count(*) AS n, avg(length) AS mean FROM memories WHERE current = 1')!
    return { documents: row.n as number, averageLength: (row.mean as number | null) ?? 0 }
  }
}

/** One word of letters and digits that stands for the agent, so that the full-text index narrows to it by itself. */
function agentTerm(agent: string): string {
  return `agent${crypto.hash('sha256', agent).slice(0, 24)}`
}

function quoted(term: string): string {
  return `"${term.replaceAll('"', '""')}"`
}

function conditions(filters: Filters, now: number): { sql: string; values: SQLInputValue[] } {
  const parts = [' AND (m.expires IS NULL OR m.expires > ?)']
  const values: SQLInputValue[] = [now]
  const add = (sql: string, value: SQLInputValue | null | undefined) => {
    if (value === null || value === undefined) return
    parts.push(sql)
    values.push(value)
  }
  add(' AND m.session = ?', filters.sessionId)
  add(' AND m.role = ?', filters.role)
  add(' AND m.type = ?', filters.type)
  add(' AND m.timestamp >= ?', filters.since)
  add(' AND m.timestamp <= ?', filters.until)
  for (const tag of filters.tags ?? []) {
    add(" AND EXISTS (SELECT 1 FROM json_each(m.record, '$.tags') AS tag WHERE tag.value = ?)", tag)
  }
  return { sql: parts.join(''), values }
}

function toIndexed(row: Record<string, unknown>): IndexedMemory {
  const text = row.terms as string
  return {
    memory: JSON.parse(row.record as string) as Memory,
    version: row.version as number,
    terms: text === '' ? [] : text.split(' '),
  }
}
