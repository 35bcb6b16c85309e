import { AgentError, newId, type StateClient } from '@agentos/sdk'
import {
  type AuditEntry,
  type AuditEvent,
  type AuditHead,
  boundDetail,
  entryKey,
  entryViolation,
  GENESIS,
  headOf,
  headViolation,
  sealEntry,
} from './audit-entry.ts'
import type { AuditKeys } from './audit-key.ts'
import { isVersionConflict } from './quota.ts'

const ENTRIES = 'audit'
const HEAD_SCOPE = 'audit-head'
const HEAD_KEY = 'head'
const PAGE = 500
/** Entries that one crash can leave beyond the head. */
const MAX_BATCH = 64
const MAX_WAITING = 10_000
const MAX_VIOLATIONS = 100

export interface Verification {
  valid: boolean
  entries: number
  violations: string[]
  keyId: string
}

/** Names an entry before it is written, so that it can be found when nobody knows whether it was. */
export interface AuditPlace {
  id: string
  /** Sequence of the head when the id was made. */
  after: number
}

interface Waiting {
  event: AuditEvent
  place: AuditPlace | undefined
  /** An earlier call may have written it. */
  again: boolean
  resolve: (entry: AuditEntry) => void
  reject: (error: unknown) => void
}

interface KnownHead {
  head: AuditHead | undefined
  /** Of the stored record, for compare-and-set; 0 where there is none. */
  version: number
}

/**
 * One chain for the installation, written by one queue. An entry is put under its sequence only where nothing stands
 * there, which makes a fork impossible even for a second process; then the head moves on by compare-and-set. After a
 * crash between the two, the next append takes over what was written and sealed beyond the head.
 */
export class AuditChain {
  private readonly state: StateClient
  private readonly keys: AuditKeys
  private readonly now: () => number
  private readonly waiting: Waiting[] = []
  private writing = false
  private known: KnownHead | undefined
  private verifying: Promise<Verification> | undefined

  constructor(state: StateClient, keys: AuditKeys, now: () => number = Date.now) {
    this.state = state
    this.keys = keys
    this.now = now
  }

  /** Where the next entry can be: for `append`, and for looking whether it was written. */
  async place(): Promise<AuditPlace> {
    const head = await this.state.get<AuditHead>(HEAD_SCOPE, HEAD_KEY)
    return { id: newId('audit'), after: head?.sequence ?? 0 }
  }

  /** Resolves when the entry and the head are durable. With `again` an entry that stands in its place is not repeated. */
  append(event: AuditEvent, place?: AuditPlace, again = false): Promise<AuditEntry> {
    if (this.waiting.length >= MAX_WAITING) {
      throw new AgentError('overloaded', 'Too many audit entries are waiting to be written; try again shortly', {
        details: { retryAfterMs: 1_000 },
      })
    }
    return new Promise((resolve, reject) => {
      this.waiting.push({ event: { ...event, detail: boundDetail(event.detail) }, place, again, resolve, reject })
      if (!this.writing) void this.drain()
    })
  }

  /** Reads the whole chain; callers at the same time share one reading. */
  verify(): Promise<Verification> {
    this.verifying ??= this.walk().finally(() => {
      this.verifying = undefined
    })
    return this.verifying
  }

  private async drain(): Promise<void> {
    this.writing = true
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, MAX_BATCH)
      try {
        const entries = await this.write(batch)
        batch.forEach(({ resolve }, index) => {
          resolve(entries[index]!)
        })
      } catch (error) {
        // What is stored now is not known: the next batch reads it anew.
        this.known = undefined
        for (const { reject } of batch) reject(error)
      }
    }
    this.writing = false
  }

  /** Entry by entry, so that a writer who lost its place stops there and leaves nothing behind it; then the head, once. */
  private async write(batch: readonly Waiting[]): Promise<AuditEntry[]> {
    this.known ??= await this.recover()
    const { head, version } = this.known
    const [key] = this.keys
    let sequence = head?.sequence ?? 0
    let prevHash = head?.hash ?? GENESIS
    let last: AuditEntry | undefined
    const entries: AuditEntry[] = []
    for (const { event, place, again } of batch) {
      const found = place && again ? await this.find(place) : undefined
      if (found) {
        entries.push(found)
        continue
      }
      sequence++
      const id = place?.id ?? newId('audit')
      last = sealEntry({ ...event, id, sequence, timestamp: this.now(), prevHash }, key)
      await this.state.set(ENTRIES, entryKey(sequence), last, { expectedVersion: 0 })
      entries.push(last)
      prevHash = last.hash
    }
    if (last) this.known = await this.moveHead(last, version)
    return entries
  }

  private async find({ id, after }: AuditPlace): Promise<AuditEntry | undefined> {
    for await (const { value } of this.entries(after)) if (value?.id === id) return value
    return undefined
  }

  private async moveHead(entry: AuditEntry, version: number): Promise<KnownHead> {
    const head = headOf(entry, this.keys[0])
    try {
      const written = await this.state.set(HEAD_SCOPE, HEAD_KEY, head, { expectedVersion: version })
      return { head, version: written.version }
    } catch (error) {
      if (!isVersionConflict(error)) throw error
      throw new AgentError('conflict', 'Another process writes to the audit chain; only one may run', { cause: error })
    }
  }

  /** The stored head, moved on over genuine entries that a crash left beyond it. */
  private async recover(): Promise<KnownHead> {
    const stored = await this.state.getWithVersion<AuditHead>(HEAD_SCOPE, HEAD_KEY)
    const found: KnownHead = { head: stored?.value, version: stored?.version ?? 0 }
    let last: AuditEntry | undefined
    for (let beyond = 1; ; beyond++) {
      const sequence = (last?.sequence ?? found.head?.sequence ?? 0) + 1
      const entry = await this.state.get<AuditEntry>(ENTRIES, entryKey(sequence))
      if (!entry) break
      if (beyond > MAX_BATCH) {
        throw new AgentError('internal', `The audit chain goes on far beyond its head; run security::verify_audit`)
      }
      const link = last?.hash ?? found.head?.hash ?? GENESIS
      if (entry.sequence !== sequence || entry.prevHash !== link || entryViolation(entry, this.keys)) {
        throw new AgentError(
          'internal',
          `Audit entry ${sequence}, beyond the head, is not genuine; run security::verify_audit`,
        )
      }
      last = entry
    }
    return last ? this.moveHead(last, found.version) : found
  }

  private async walk(): Promise<Verification> {
    const head = await this.state.get<AuditHead>(HEAD_SCOPE, HEAD_KEY)
    const violations: string[] = []
    let entries = 0
    let sequence = 0
    let prevHash = GENESIS
    const report = (text: string) => {
      if (violations.length < MAX_VIOLATIONS) violations.push(text)
    }
    const broken = head && headViolation(head, this.keys)
    if (broken) report(`The head ${broken}`)
    const unread = new Map<string, number>()
    for await (const { key, value } of this.entries()) {
      // Beyond the head stands what is written while this reads, or what the next append has to judge after a crash.
      if (head && sequence >= head.sequence) break
      entries++
      if (!isEntry(value)) {
        report(`The entry ${key} cannot be read`)
        continue
      }
      if (value.sequence !== sequence + 1)
        report(`Between ${sequence} and ${value.sequence} entries are missing or out of order`)
      if (key !== entryKey(value.sequence)) report(`Entry ${value.sequence} stands in the place of another`)
      if (value.prevHash !== prevHash) report(`Entry ${value.sequence} does not link to the one before it`)
      const wrong = entryViolation(value, this.keys)
      if (!this.keys.some(({ id }) => id === value.keyId)) unread.set(value.keyId, (unread.get(value.keyId) ?? 0) + 1)
      else if (wrong) report(`Entry ${value.sequence} ${wrong}`)
      if (head && value.sequence === head.sequence && value.hash !== head.hash) {
        report(`Entry ${value.sequence} is not the one that the head names`)
      }
      sequence = value.sequence
      prevHash = value.hash
    }
    if (head && sequence < head.sequence)
      report(`The head names ${head.sequence} entries, the chain ends at ${sequence}`)
    if (!head && entries > MAX_BATCH) report('There are entries and no head')
    // What to do comes before all that may follow from it.
    violations.unshift(...[...unread].slice(0, MAX_VIOLATIONS).map(([key, count]) => missingKey(key, count)))
    violations.splice(MAX_VIOLATIONS)
    return { valid: violations.length === 0, entries, violations, keyId: this.keys[0].id }
  }

  private async *entries(afterSequence = 0): AsyncGenerator<{ key: string; value: AuditEntry | undefined }> {
    let after = afterSequence === 0 ? undefined : entryKey(afterSequence)
    do {
      const page = await this.state.entries<AuditEntry>(ENTRIES, {
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      })
      yield* page.entries
      after = page.next
    } while (after !== undefined)
  }
}

function isEntry(value: unknown): value is AuditEntry {
  if (typeof value !== 'object' || value === null) return false
  const { sequence, hash, prevHash, keyId } = value as Partial<Record<keyof AuditEntry, unknown>>
  return Number.isSafeInteger(sequence) && [hash, prevHash, keyId].every((field) => typeof field === 'string')
}

/** For example after a backup of another installation was restored: its key is in no backup. */
const missingKey = (key: string, entries: number): string =>
  `${entries} ${entries === 1 ? 'entry was' : 'entries were'} sealed with the key ${key}, which is not here: put what ` +
  'data/keys/audit of the installation that wrote them holds into AUDIT_HMAC_KEY in .env, behind the current key and a ' +
  'comma if any, then npm run agentos -- restart security'
