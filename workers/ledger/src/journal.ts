import { AgentError, type StateClient } from '@agentos/sdk'
import { Book, type BookSnapshot } from './book.ts'
import { type Draft, type Entry, entryKey } from './entry.ts'

const ENTRIES = 'ledger-entries'
const CHECKPOINTS = 'ledger-checkpoint'
const HEAD = 'head'
const PAGE = 500
/** Entries that a start has to read again at most, but for those since a checkpoint that could not be written. */
const CHECKPOINT_EVERY = 500

/**
 * The entries on disk, and the book that they give. One record is one transaction, put where nothing stands: a second
 * writer is refused. After a write whose end is not known, what is stored is read before anything else is decided.
 */
export class Journal {
  private readonly state: StateClient
  private readonly now: () => number
  private current: Book | undefined
  private certain = false
  private checkpointed = 0

  constructor(state: StateClient, now: () => number) {
    this.state = state
    this.now = now
  }

  /** The book with everything that is stored. Only from within the one queue of the ledger. */
  async open(): Promise<Book> {
    if (this.current && this.certain) return this.current
    if (!this.current) {
      const snapshot = await this.state.get<BookSnapshot>(CHECKPOINTS, HEAD)
      this.current = snapshot ? Book.restore(snapshot) : new Book()
      this.checkpointed = this.current.sequence
    }
    for await (const entry of this.entries(this.current.sequence)) this.current.apply(entry)
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
    const entry: Entry = { ...draft, sequence: book.sequence + 1, at: this.now() }
    try {
      await this.state.set(ENTRIES, entryKey(entry.sequence), entry, { expectedVersion: 0 })
    } catch (error) {
      this.certain = false
      throw error
    }
    book.apply(entry)
    await this.checkpoint(book)
    return entry
  }

  /** Everything from the first entry on, in order. */
  async *entries(afterSequence = 0): AsyncGenerator<Entry> {
    let after: string | undefined = afterSequence === 0 ? undefined : entryKey(afterSequence)
    do {
      const page = await this.state.entries<Entry>(ENTRIES, { limit: PAGE, ...(after === undefined ? {} : { after }) })
      for (const { value } of page.entries) yield value
      after = page.next
    } while (after !== undefined)
  }

  /** A checkpoint only saves reading: where it cannot be written, the entries stand. */
  private async checkpoint(book: Book): Promise<void> {
    if (book.sequence - this.checkpointed < CHECKPOINT_EVERY) return
    this.checkpointed = book.sequence
    book.prune(this.now())
    await this.state.set(CHECKPOINTS, HEAD, book.snapshot()).catch(() => {})
  }
}
