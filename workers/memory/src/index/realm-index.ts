import { type Caller, InvocationError } from '@agentos/sdk'
import { Locks } from '../locks.ts'
import { GRAPH, MEMORY } from '../scopes.ts'
import { type Change, changesAfter } from '../truth.ts'
import { Database } from './database.ts'
import { GraphTable } from './graph.ts'
import { MemoryTable } from './memories.ts'

const PAGE = 1_000

/**
 * What can be found in one realm. It is no truth: it follows the engine's state, knows the last sequence it saw, and is
 * made anew where that does not fit any more.
 */
export class RealmIndex {
  readonly memories: MemoryTable
  readonly graph: GraphTable
  private readonly database: Database
  private readonly locks = new Locks()
  /** Prefixes whose place in the truth was checked since the file was opened. */
  private readonly checked = new Set<string>()

  static async open(path: string): Promise<RealmIndex> {
    return new RealmIndex(await Database.open(path))
  }

  private constructor(database: Database) {
    this.database = database
    this.memories = new MemoryTable(database)
    this.graph = new GraphTable(database)
  }

  /** After it, everything that was answered before the call is in the index. */
  syncMemories(caller: Caller): Promise<void> {
    return this.locks.run(MEMORY, () => this.follow(caller, MEMORY, this.memories))
  }

  syncGraph(caller: Caller): Promise<void> {
    return this.locks.run(GRAPH, () => this.follow(caller, GRAPH, this.graph))
  }

  private async follow(
    caller: Caller,
    prefix: string,
    table: { apply(change: Change): void; clear(): void },
  ): Promise<void> {
    if (!this.checked.has(prefix)) {
      if (await this.isAhead(caller, prefix)) this.restart(prefix, table)
      this.checked.add(prefix)
    }
    for (;;) {
      const changes = await this.nextChanges(caller, prefix, table)
      if (changes.length === 0) return
      this.database.transaction(() => {
        for (const change of changes) table.apply(change)
        this.seen(prefix, changes.at(-1)!.seq)
      })
    }
  }

  private async nextChanges(caller: Caller, prefix: string, table: { clear(): void }): Promise<Change[]> {
    try {
      return await changesAfter(caller, prefix, this.lastSeen(prefix), PAGE)
    } catch (error) {
      if (!(error instanceof InvocationError) || error.code !== 'history_pruned') throw error
      this.restart(prefix, table)
      return await changesAfter(caller, prefix, 0, PAGE)
    }
  }

  /** The truth may have been put back to an earlier day; then the change that was seen last is not in it. */
  private async isAhead(caller: Caller, prefix: string): Promise<boolean> {
    const last = this.lastSeen(prefix)
    return last > 0 && (await changesAfter(caller, prefix, last - 1, 1)).length === 0
  }

  private restart(prefix: string, table: { clear(): void }): void {
    this.database.transaction(() => {
      table.clear()
      this.seen(prefix, 0)
    })
  }

  private lastSeen(prefix: string): number {
    return (this.database.one('SELECT value FROM meta WHERE name = ?', prefix)?.value as number | undefined) ?? 0
  }

  private seen(prefix: string, seq: number): void {
    this.database.run('INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)', prefix, seq)
  }

  close(): void {
    this.database.close()
  }
}
