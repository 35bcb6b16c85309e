import type { Realm } from '@agentos/contracts/realm'
import { AgentError, type Principal, type StateClient } from '@agentos/sdk'

export const DEFAULT_REALM = 'realm-default'
/** Kept once for the installation: the same in whatever realm a call is. */
export const SCOPE = 'realms'
const PAGE = 500
const ATTEMPTS = 10

/** What is stored: the realm, and who made it. */
export interface RealmRecord extends Realm {
  createdBy: Principal
}

/** Without what is for this worker alone. */
export function view({ createdBy: _createdBy, ...realm }: RealmRecord): Realm {
  return realm
}

/** `default` is another name of the default realm. */
export function realmId(id: string): string {
  return id === 'default' ? DEFAULT_REALM : id
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

  /** Deleted ones too; the default realm first, then by id. */
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
    return records.sort((a, b) => Number(b.id === DEFAULT_REALM) - Number(a.id === DEFAULT_REALM))
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
