import type { Realm } from '@agentos/contracts/realm'
import { AgentError, type Principal, type StateClient } from '@agentos/sdk'

export const DEFAULT_REALM = 'realm-default'
/** Where whoever has no credential lives. */
export const GUEST_REALM = 'realm-guest'
/** Kept once for the installation: the same in whatever realm a call is. */
export const SCOPE = 'realms'
const PAGE = 500
const ATTEMPTS = 10

/** Something that happened to a realm: what other workers hear, and what the audit chain gets. */
export interface News {
  type: 'created' | 'updated' | 'deleted' | 'restored'
  /** Of the record that it made. */
  version: number
  audit?: { type: string; detail: Record<string, unknown> }
}

/** What is stored: the realm, who made it, and what nobody was told of it yet. */
export interface RealmRecord extends Realm {
  createdBy: Principal
  untold?: News[]
}

/** Without what is for this worker alone. */
export function view({ createdBy: _createdBy, untold: _untold, ...realm }: RealmRecord): Realm {
  return realm
}

/** The record with what is to be told of its change, in the same write. */
export function withNews(changed: RealmRecord, news: Omit<News, 'version'>): RealmRecord {
  return { ...changed, untold: [...(changed.untold ?? []), { ...news, version: changed.version + 1 }] }
}

/** Realms that are part of the installation, with the names for a person, in the order in which they are listed. */
export const BUILT_IN: ReadonlyMap<string, { name: string; slug: string }> = new Map([
  [DEFAULT_REALM, { name: 'Default', slug: 'default' }],
  [GUEST_REALM, { name: 'Guests', slug: 'guest' }],
])

/** The id behind a short name: `default` and `guest` are the built-in realms. */
export function realmId(id: string): string {
  for (const [builtIn, { slug }] of BUILT_IN) if (slug === id) return builtIn
  return id
}

function place(id: string): number {
  const at = [...BUILT_IN.keys()].indexOf(id)
  return at === -1 ? BUILT_IN.size : at
}

/** Realm records, kept once for the installation. */
export class RealmRecords {
  private readonly state: StateClient

  constructor(state: StateClient) {
    this.state = state
  }

  get(id: string): Promise<RealmRecord | undefined> {
    return this.state.get<RealmRecord>(SCOPE, realmId(id))
  }

  async require(id: string): Promise<RealmRecord> {
    const record = await this.get(id)
    if (!record) throw missing(id)
    return record
  }

  /** Deleted ones too; the built-in realms first, then by id. */
  async all(): Promise<RealmRecord[]> {
    const records: RealmRecord[] = []
    let after: string | undefined
    do {
      const page = await this.state.entries<RealmRecord>(SCOPE, {
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      })
      for (const { value } of page.entries) records.push(value)
      after = page.next
    } while (after !== undefined)
    return records.sort((a, b) => place(a.id) - place(b.id))
  }

  /** False where there is a record of this id already. */
  async add(record: RealmRecord): Promise<boolean> {
    try {
      await this.state.set(SCOPE, record.id, record, { expectedVersion: 0 })
      return true
    } catch (error) {
      if (isVersionConflict(error)) return false
      throw error
    }
  }

  /**
   * Changes a record by compare-and-set. `change` gets the stored record, may refuse by throwing, and runs again when
   * somebody else wrote in between. Errors: `not_found`, `version_conflict` where the record has another `expectedVersion`.
   */
  async change(
    id: string,
    change: (record: RealmRecord) => RealmRecord | Promise<RealmRecord>,
    expectedVersion?: number,
  ): Promise<RealmRecord> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const stored = await this.state.getWithVersion<RealmRecord>(SCOPE, realmId(id))
      if (!stored) throw missing(id)
      const { value: record, version } = stored
      if (expectedVersion !== undefined && record.version !== expectedVersion) {
        throw new AgentError(
          'version_conflict',
          `Realm ${record.id} has version ${record.version}, not ${expectedVersion}`,
          {
            details: { version: record.version },
          },
        )
      }
      const changed = await change(record)
      if (changed === record) return record
      const next = { ...changed, version: record.version + 1, updatedAt: new Date().toISOString() }
      try {
        await this.state.set(SCOPE, record.id, next, { expectedVersion: version })
        return next
      } catch (error) {
        if (!isVersionConflict(error)) throw error
      }
    }
    throw new AgentError('version_conflict', `Realm ${id} changes too fast; read it again`)
  }

  /** Changes what is to be told of a realm; that is no change of the realm. */
  async changeNews(id: string, change: (untold: readonly News[]) => News[]): Promise<void> {
    for (;;) {
      const stored = await this.state.getWithVersion<RealmRecord>(SCOPE, realmId(id))
      if (!stored) return
      const { untold = [], ...record } = stored.value
      const left = change(untold)
      try {
        const next: RealmRecord = left.length === 0 ? record : { ...record, untold: left }
        await this.state.set(SCOPE, record.id, next, { expectedVersion: stored.version })
        return
      } catch (error) {
        if (!isVersionConflict(error)) throw error
      }
    }
  }

  async erase(id: string): Promise<void> {
    await this.state.delete(SCOPE, id)
  }
}

function missing(id: string): AgentError {
  return new AgentError('not_found', `There is no realm ${id}; realm::list names them`)
}

function isVersionConflict(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'version_conflict'
}
