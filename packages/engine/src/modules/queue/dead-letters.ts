import { EngineError } from '@agentos/protocol'
import type { CallContext } from '../../core/context.ts'
import type { ModuleHost } from '../../core/module.ts'
import type { StoreOutcome, StoreWrite } from '../../core/ports.ts'
import { count } from './guest-jobs.ts'
import { type Dead, type DeadLetter, deadKey } from './job.ts'

/** Dead letters that one batch moves. */
const BATCH = 100

/** Which dead letters are meant: all, or one; and of those the ones that are the caller's, where not all are. */
export interface Chosen {
  messageId?: string
  isMine?: ((dead: Dead) => boolean) | undefined
}

export interface Moved {
  write: StoreWrite
  /** Runs after the move is durable. */
  after(): void
}

/** The dead letters of one queue, oldest first. What they hold is read from the store. */
export class DeadLetters {
  private readonly host: ModuleHost
  private readonly realm: CallContext['realm']
  private readonly byId = new Map<string, Dead>()

  constructor(host: ModuleHost, realm: CallContext['realm']) {
    this.host = host
    this.realm = realm
  }

  get size(): number {
    this.prune()
    return this.byId.size
  }

  /** Past `max` the oldest are forgotten. */
  add(dead: Dead, max: number): void {
    this.keep(dead)
    this.prune()
    for (const [id, oldest] of this.byId) {
      if (this.byId.size <= max) return
      this.drop(oldest)
      const { partition, order, by } = oldest
      const log = this.host.logOf({ realm: this.realm, principal: by.principal })
      log.warn({ message_id: id }, 'The oldest dead letter was dropped: there are too many')
      this.host.ports.store.write([{ op: 'delete', partition, key: deadKey(order) }], () => {})
    }
  }

  /** After those of several groups were read one after another: oldest first. */
  sort(): void {
    const sorted = [...this.byId].sort(([, a], [, b]) => a.expires - b.expires)
    this.byId.clear()
    for (const [id, dead] of sorted) this.byId.set(id, dead)
  }

  /** Read one by one, as they are asked for. */
  *list(offset: number, limit: number, isMine: Chosen['isMine']): Generator<DeadLetter> {
    for (const dead of this.chosen({ isMine }).slice(offset, offset + limit)) {
      const letter = this.read(dead)
      if (letter) yield letter
    }
  }

  count(isMine: Chosen['isMine']): number {
    return isMine === undefined ? this.size : this.chosen({ isMine }).length
  }

  discard(chosen: Chosen, done: (removed: number, failed?: StoreOutcome) => void): void {
    this.remove(chosen, () => undefined, done)
  }

  /** Takes out those that are chosen, each in one batch with what takes its place. Those that the disk refuses stay. */
  remove(
    which: Chosen,
    replace: (dead: Dead, letter: DeadLetter) => Moved | undefined,
    done: (removed: number, failed?: StoreOutcome) => void,
  ): void {
    const chosen = this.chosen(which)
    // Nobody else moves them meanwhile.
    for (const dead of chosen) this.drop(dead)
    const batches: Dead[][] = []
    for (const dead of chosen) {
      const last = batches.at(-1)
      if (last && last.length < BATCH && last[0]?.partition === dead.partition) last.push(dead)
      else batches.push([dead])
    }
    if (batches.length === 0) return done(0)
    let left = batches.length
    let removed = 0
    let failed: StoreOutcome | undefined
    for (const batch of batches) {
      let moves: (Moved | undefined)[] = []
      const settled = (outcome: StoreOutcome): void => {
        if (outcome.ok) {
          removed += batch.length
          for (const move of moves) move?.after()
        } else {
          failed = outcome
          for (const dead of batch) this.keep(dead)
          this.sort()
        }
        left -= 1
        if (left === 0) done(removed, failed)
      }
      try {
        const letters = batch.map((dead) => this.read(dead))
        moves = letters.map((letter, index) => letter && replace(batch[index]!, letter))
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
        settled({ ok: false, error: error.toBody() })
        continue
      }
      const writes = batch.flatMap((dead, index): StoreWrite[] => {
        const gone: StoreWrite = { op: 'delete', partition: dead.partition, key: deadKey(dead.order) }
        const move = moves[index]
        return move ? [gone, move.write] : [gone]
      })
      this.host.ports.store.write(writes, settled)
    }
  }

  private chosen({ messageId, isMine }: Chosen): Dead[] {
    this.prune()
    const named = messageId === undefined ? [...this.byId.values()] : [this.byId.get(messageId)]
    return named.filter((dead) => dead !== undefined).filter((dead) => isMine?.(dead) ?? true)
  }

  private read(dead: Dead): DeadLetter | undefined {
    return this.host.ports.store.get(dead.partition, deadKey(dead.order))?.value as DeadLetter | undefined
  }

  private keep(dead: Dead): void {
    this.byId.set(dead.id, dead)
    count(this.host.guestShare, dead.bytes)
  }

  private drop({ id, bytes }: Dead): void {
    if (this.byId.delete(id)) count(this.host.guestShare, -bytes)
  }

  /** Forgets those that have expired. */
  prune(): void {
    const now = this.host.ports.clock.now()
    for (const dead of this.byId.values()) {
      if (dead.expires > now) return
      this.drop(dead)
    }
  }
}
