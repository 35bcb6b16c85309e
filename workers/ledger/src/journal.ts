import { AgentError, type StateClient } from '@agentos/sdk'
import { type Alert, alertsOf } from './alerts.ts'
import { Book } from './book.ts'
import { Checkpoints } from './checkpoints.ts'
import { type Draft, type Entry, entryKey } from './entry.ts'

const ENTRIES = 'ledger-entries'
const PAGE = 500
/** Entries that a start has to read again at most, but for those since a checkpoint that could not be written. */
const CHECKPOINT_EVERY = 500
/** After so many further entries one that could not be written is tried again. */
const CHECKPOINT_AGAIN = 50

export interface JournalParts {
  state: StateClient
  now: () => number
  /** Hears why a checkpoint could not be written, each time; nothing when one could be again. */
  onCheckpoint: (error: unknown) => void
  /** Hears of levels that an entry crosses, when it is on disk; again where it is read anew. */
  onAlerts: (alerts: readonly Alert[], sequence: number) => void
}

/**
 * The entries on disk, and the book that they give. One record is one transaction, put where nothing stands: a second
 * writer is refused. After a write whose end is not known, what is stored is read before anything else is decided.
 */
export class Journal {
  private readonly parts: JournalParts
  private readonly checkpoints: Checkpoints
  private current: Book | undefined
  private certain = false
  /** Sequence of the entry after which the next checkpoint is due. */
  private due = 0
  private problem: string | undefined
  private covered = 0

  constructor(parts: JournalParts) {
    this.parts = parts
    this.checkpoints = new Checkpoints(parts.state)
  }

  /** Entries that a start reads again, and why it is more than it should be. */
  get checkpoint(): { sequence: number; behind: number; problem: string | null } {
    return { sequence: this.covered, behind: this.book.sequence - this.covered, problem: this.problem ?? null }
  }

  /** The book with everything that is stored. Only from within the one queue of the ledger. */
  async open(): Promise<Book> {
    if (this.current && this.certain) return this.current
    if (!this.current) {
      const snapshot = await this.checkpoints.read()
      this.current = snapshot ? Book.restore(snapshot) : new Book()
      this.covered = this.current.sequence
      this.due = this.covered + CHECKPOINT_EVERY
    }
    for await (const entry of this.entries(this.current.sequence)) this.apply(this.current, entry)
    this.certain = true
    return this.current
  }

  /** The book as it is known; for answers that decide nothing. */
  get book(): Book {
    if (!this.current) throw new AgentError('internal', 'The ledger is not open')
    return this.current
  }

  /** Resolves when the entry is durable and in the book. */
  async append(draft: Draft): Promise<Entry> {
    const book = await this.open()
    const entry: Entry = { ...draft, sequence: book.sequence + 1, at: this.parts.now() }
    try {
      await this.parts.state.set(ENTRIES, entryKey(entry.sequence), entry, { expectedVersion: 0 })
    } catch (error) {
      this.certain = false
      throw error
    }
    this.apply(book, entry)
    await this.writeCheckpoint(book)
    return entry
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

  private apply(book: Book, entry: Entry): void {
    const before = entry.lines.map((line) => ({ line, spent: book.balance(line).spent }))
    book.apply(entry)
    this.parts.onAlerts(alertsOf(book, before), entry.sequence)
  }

  /** A checkpoint only saves reading: where it cannot be written, the entries stand. */
  private async writeCheckpoint(book: Book): Promise<void> {
    if (book.sequence < this.due) return
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
