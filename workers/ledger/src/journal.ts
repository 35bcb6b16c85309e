import { AgentError, type StateClient } from '@agentos/sdk'
import { type Alert, alertsOf } from './alerts.ts'
import { Book } from './book.ts'
import { Checkpoints } from './checkpoints.ts'
import { type BudgetRecord, type Draft, type Entry, entryKey } from './entry.ts'

const ENTRIES = 'ledger-entries'
const PAGE = 500
/** Entries of one commit. */
const MAX_COMMIT = 100
/** Entries that a start has to read again at most, but for those since a checkpoint that could not be written. */
const CHECKPOINT_EVERY = 500
/** After so many further entries one that could not be written is tried again. */
const CHECKPOINT_AGAIN = 50

export interface JournalParts {
  state: StateClient
  now: () => number
  /** The budget of a realm for which the owner set none. */
  fallback?: BudgetRecord | undefined
  /** Hears why a checkpoint could not be written, each time; nothing when one could be again. */
  onCheckpoint: (error: unknown) => void
  /** Hears of levels that an entry crosses, when it is on disk; again where it is read anew. */
  onAlerts: (alerts: readonly Alert[], sequence: number) => void
}

/** Entries that are in the book and go to the disk in one commit. */
interface Commit {
  entries: { entry: Entry; alerts: readonly Alert[] }[]
  /** Nothing more can join it. */
  sent: boolean
  done: PromiseWithResolvers<void>
}

/**
 * The entries on disk, and the book that they give. One record is one transaction, put where nothing stands: a second
 * writer is refused. An entry is in the book at once and on its way to the disk, with those that are decided while another
 * commit is under way; what was decided on the book is told when `written` has resolved. After a write whose end is not
 * known the book is made anew of what is stored, before anything else is decided.
 */
export class Journal {
  private readonly parts: JournalParts
  private readonly checkpoints: Checkpoints
  private current: Book | undefined
  private certain = false
  /** In order; the first may be under way. */
  private commits: Commit[] = []
  private writing = false
  /** Sequence of the entry after which the next checkpoint is due. */
  private due = 0
  private problem: string | undefined
  private covered = 0
  /** Up to this entry alerts were handed on. */
  private raised = 0

  constructor(parts: JournalParts) {
    this.parts = parts
    this.checkpoints = new Checkpoints(parts.state)
  }

  /** Entries that a start reads again, and why it is more than it should be. */
  get checkpoint(): { sequence: number; behind: number; problem: string | null } {
    return { sequence: this.covered, behind: this.book.sequence - this.covered, problem: this.problem ?? null }
  }

  /** Decides at once, on the book with everything that was decided before. Only from within the one queue of the ledger. */
  async decide<T>(work: (book: Book) => T): Promise<T> {
    // A write may fail between the end of the reading and our turn.
    while (!this.current || !this.certain) await this.open()
    return work(this.current)
  }

  /** The book as it is known; for answers that decide nothing. */
  get book(): Book {
    if (!this.current) throw new AgentError('internal', 'The ledger is not open')
    return this.current
  }

  /** Puts an entry into the book and on its way to the disk. Only within `decide`. */
  append(draft: Draft): Entry {
    const { book } = this
    const entry: Entry = { ...draft, sequence: book.sequence + 1, at: this.parts.now() }
    let commit = this.commits.at(-1)
    if (!commit || commit.sent || commit.entries.length >= MAX_COMMIT) {
      commit = { entries: [], sent: false, done: Promise.withResolvers() }
      commit.done.promise.catch(() => {})
      this.commits.push(commit)
    }
    commit.entries.push({ entry, alerts: applied(book, entry) })
    return entry
  }

  /** Resolves when all that was appended is durable; rejects where that is not certain. */
  written(): Promise<void> {
    if (!this.writing && this.commits.length > 0) void this.writeAll()
    return this.commits.at(-1)?.done.promise ?? Promise.resolve()
  }

  /** A checkpoint only saves reading: where it cannot be written, the entries stand. Between decisions. */
  async keepCheckpoint(): Promise<void> {
    if (!this.certain || this.book.sequence < this.due) return
    await this.written().catch(() => {})
    if (this.certain) await this.writeCheckpoint(this.book)
  }

  /** Everything from the first entry on, in order. */
  async *entries(afterSequence = 0): AsyncGenerator<Entry> {
    let after: string | undefined = afterSequence === 0 ? undefined : entryKey(afterSequence)
    do {
      const page = await this.parts.state.entries<Entry>(ENTRIES, {
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      })
      for (const { value } of page.entries) yield value
      after = page.next
    } while (after !== undefined)
  }

  private async open(): Promise<void> {
    const snapshot = await this.checkpoints.read()
    const { fallback } = this.parts
    const book = snapshot ? Book.restore(snapshot, fallback) : new Book(fallback)
    if (!this.current) this.due = book.sequence + CHECKPOINT_EVERY
    this.covered = book.sequence
    for await (const entry of this.entries(book.sequence)) this.raise(entry.sequence, applied(book, entry))
    this.current = book
    this.certain = true
  }

  private async writeAll(): Promise<void> {
    this.writing = true
    for (let commit = this.commits[0]; commit; commit = this.commits[0]) {
      commit.sent = true
      try {
        await this.write(commit.entries.map(({ entry }) => entry))
      } catch (error) {
        // Those behind it were decided on what may not be there.
        this.certain = false
        for (const { done } of this.commits) done.reject(error)
        this.commits = []
        break
      }
      this.commits.shift()
      for (const { entry, alerts } of commit.entries) this.raise(entry.sequence, alerts)
      commit.done.resolve()
    }
    this.writing = false
  }

  private async write(entries: readonly Entry[]): Promise<void> {
    const { state } = this.parts
    const nothingThere = { expectedVersion: 0 }
    const [first, ...others] = entries
    if (!first) return
    if (others.length === 0) return void (await state.set(ENTRIES, entryKey(first.sequence), first, nothingThere))
    await state.writeAtomically(
      entries.map((entry) => ({ scope: ENTRIES, key: entryKey(entry.sequence), value: entry, ...nothingThere })),
    )
  }

  private raise(sequence: number, alerts: readonly Alert[]): void {
    if (sequence <= this.raised) return
    this.raised = sequence
    this.parts.onAlerts(alerts, sequence)
  }

  private async writeCheckpoint(book: Book): Promise<void> {
    book.prune(this.parts.now())
    try {
      await this.checkpoints.write(book.snapshot())
      this.covered = book.sequence
      this.due = book.sequence + CHECKPOINT_EVERY
      if (this.problem !== undefined) this.parts.onCheckpoint(undefined)
      this.problem = undefined
    } catch (error) {
      this.due = book.sequence + CHECKPOINT_AGAIN
      this.problem = error instanceof Error ? error.message : String(error)
      this.parts.onCheckpoint(error)
    }
  }
}

/** The levels that it crosses. */
function applied(book: Book, entry: Entry): readonly Alert[] {
  const before = entry.lines.map((line) => ({ line, spent: book.balance(line).spent }))
  book.apply(entry)
  return alertsOf(book, before)
}
