import * as z from 'zod'
import { GRAPH } from '../scopes.ts'
import type { Change } from '../truth.ts'
import type { Database } from './database.ts'

/** A relation as it is stored: one record for both directions, so that they come and go together. */
export const EdgeRecord = z.looseObject({
  from: z.string(),
  type: z.string(),
  to: z.string(),
  source: z.string().optional(),
})
export type EdgeRecord = z.output<typeof EdgeRecord>
export type EntityRecord = { id: string } & Record<string, unknown>

const ENTITY = 'entity:'
const EDGE = 'edge:'

export const entityKey = (id: string) => ENTITY + id
export const edgeKey = ({ from, type, to }: { from: string; type: string; to: string }) =>
  EDGE + [from, type, to].map(encodeURIComponent).join('|')

/** Entities and relations of one realm, by either end. */
export class GraphTable {
  private readonly database: Database

  constructor(database: Database) {
    this.database = database
  }

  clear(): void {
    this.database.run('DELETE FROM entities')
    this.database.run('DELETE FROM edges')
  }

  apply({ scope, key, value, deleted }: Change): void {
    const agent = scope.slice(GRAPH.length)
    if (key.startsWith(ENTITY)) this.applyEntity(agent, key.slice(ENTITY.length), deleted ? undefined : value)
    else if (key.startsWith(EDGE)) this.applyEdge(agent, key, deleted ? undefined : value)
  }

  private applyEntity(agent: string, id: string, value: unknown): void {
    if (typeof value === 'object' && value !== null) {
      const sql = 'INSERT OR REPLACE INTO entities (agent, id, record) VALUES (?, ?, ?)'
      this.database.run(sql, agent, id, JSON.stringify(value))
    } else this.database.run('DELETE FROM entities WHERE agent = ? AND id = ?', agent, id)
  }

  private applyEdge(agent: string, key: string, value: unknown): void {
    const edge = EdgeRecord.safeParse(value).data
    if (!edge) {
      this.database.run('DELETE FROM edges WHERE agent = ? AND key = ?', agent, key)
      return
    }
    this.database.run(
      'INSERT OR REPLACE INTO edges (agent, key, origin, type, target, memory, record) VALUES (?, ?, ?, ?, ?, ?, ?)',
      ...[agent, key, edge.from, edge.type, edge.to, edge.source ?? null, JSON.stringify(edge)],
    )
  }

  entity(agent: string, id: string): EntityRecord | undefined {
    const row = this.database.one('SELECT record FROM entities WHERE agent = ? AND id = ?', agent, id)
    return row && (JSON.parse(row.record as string) as EntityRecord)
  }

  /** Relations that leave or reach the entity. */
  edges(agent: string, id: string): EdgeRecord[] {
    const out = this.records('SELECT record FROM edges WHERE agent = ? AND origin = ? ORDER BY key', agent, id)
    const inward = this.records('SELECT record FROM edges WHERE agent = ? AND target = ? ORDER BY key', agent, id)
    return [...out, ...inward.filter(({ from }) => from !== id)]
  }

  /** Relations that were learnt from a memory. */
  edgesFrom(agent: string, memoryId: string): EdgeRecord[] {
    return this.records('SELECT record FROM edges WHERE agent = ? AND memory = ?', agent, memoryId)
  }

  private records(sql: string, agent: string, id: string): EdgeRecord[] {
    return this.database.all(sql, agent, id).map(({ record }) => JSON.parse(record as string) as EdgeRecord)
  }
}
