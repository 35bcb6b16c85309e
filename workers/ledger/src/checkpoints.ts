import type { StateClient } from '@agentos/sdk'
import type { BookSnapshot } from './book.ts'

const SCOPE = 'ledger-checkpoint'
const HEAD = 'head'
/** Bytes of a part: far below what a value may have, whatever the owner has set. */
const PART_BYTES = 256 * 1024

type Sections = Omit<BookSnapshot, 'sequence'>
type Row = { [S in keyof Sections]: [S, Sections[S][number]] }[keyof Sections]

/** Two sets of parts take turns, so that one is whole whenever the process dies. */
type Slot = 'a' | 'b'

/** Where the parts are. Checkpoints of earlier versions hold the whole snapshot here. */
type Head = { sequence: number; slot: Slot; parts: number } | BookSnapshot

/** `sequence` is that of the checkpoint which it is a part of. */
interface Part {
  sequence: number
  rows: Row[]
}

/**
 * The book as it was after an entry, in parts that are small enough for the state. The head is written last: until then
 * the checkpoint before is the one that counts.
 */
export class Checkpoints {
  private readonly state: StateClient

  constructor(state: StateClient) {
    this.state = state
  }

  /** Nothing where there is none, or a part of it is not there: the entries say all of it again. */
  async read(): Promise<BookSnapshot | undefined> {
    const head = await this.state.get<Head>(SCOPE, HEAD)
    if (!head || !('slot' in head)) return head
    const { sequence, slot, parts } = head
    const snapshot: BookSnapshot = {
      sequence,
      budgets: [],
      balances: [],
      reservations: [],
      spendKeys: [],
      daily: [],
    }
    for (let n = 0; n < parts; n++) {
      const part = await this.state.get<Part>(SCOPE, partKey(slot, n))
      if (part?.sequence !== sequence) return undefined
      for (const [section, item] of part.rows) (snapshot[section] as unknown[]).push(item)
    }
    return snapshot
  }

  async write(snapshot: BookSnapshot): Promise<void> {
    const before = await this.state.get<Head>(SCOPE, HEAD)
    const slot: Slot = before && 'slot' in before && before.slot === 'a' ? 'b' : 'a'
    const { sequence } = snapshot
    const parts = [...partsOf(snapshot)].map((rows): Part => ({ sequence, rows }))
    await Promise.all(parts.map((part, n) => this.state.set(SCOPE, partKey(slot, n), part)))
    const head: Head = { sequence, slot, parts: parts.length }
    await this.state.set(SCOPE, HEAD, head)
    await this.removeFrom(slot, parts.length)
  }

  /** What a longer checkpoint left in the slot. */
  private async removeFrom(slot: Slot, first: number): Promise<void> {
    for (let n = first; (await this.state.delete(SCOPE, partKey(slot, n))) !== undefined; ) n += 1
  }
}

function* partsOf({ sequence: _sequence, ...sections }: BookSnapshot): Generator<Row[]> {
  let rows: Row[] = []
  let bytes = 0
  for (const [section, items] of Object.entries(sections)) {
    for (const item of items) {
      const row = [section, item] as Row
      const size = Buffer.byteLength(JSON.stringify(row)) + 1
      if (bytes + size > PART_BYTES && rows.length > 0) {
        yield rows
        rows = []
        bytes = 0
      }
      rows.push(row)
      bytes += size
    }
  }
  if (rows.length > 0) yield rows
}

function partKey(slot: Slot, n: number): string {
  return `part/${slot}/${n}`
}
