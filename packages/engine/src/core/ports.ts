import type { ErrorBody, Spliced } from '@agentos/protocol'

/**
 * Everything that the core and the modules get from outside, listed once. Production hands in the real clock, timers
 * and sockets; the simulator hands in its own and may kill, delay, duplicate and reorder with a seed.
 */
export interface Ports {
  clock: Clock
  timers: Timers
  ids: Ids
  store: Store
  log: Log
}

export interface Clock {
  /** Wall clock, epoch milliseconds: for what is shown and stored. */
  now(): number
  /** `now` with microsecond digits: for the times of spans. */
  precise(): number
  /** Milliseconds that never jump: for deadlines and durations. */
  monotonic(): number
}

export interface Timer {
  readonly due: number
}

export interface Timers {
  set(delayMs: number, run: () => void): Timer
  clear(timer: Timer): void
}

export interface Ids {
  /** UUID version 4. */
  uuid(): string
  /** Lower-case hex of this many random bytes. */
  hex(bytes: number): string
}

export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** One side of a socket, as the core sees it. */
export interface Link {
  /** A frame that is not urgent may wait for others of this turn of the event loop, so that they leave together. */
  send(frame: string | Spliced, urgent?: boolean): void
  /** Ends it behind everything that was sent. */
  close(code?: number, reason?: string): void
  /** Ends it as soon as the other side reads: what still waits here is thrown away. */
  abort(code: number, reason: string): void
  /** Bytes handed over and not yet taken by the other side. */
  buffered(): number
}

/** A record of the store. `version` counts the writes of this key from 1; `seq` orders all writes of the store. */
export interface StoreRecord {
  key: string
  value: unknown
  version: number
  seq: number
  /** Epoch milliseconds after which the record is gone. */
  expires?: number
}

/**
 * Keys that begin with it, the greatest code point, are beside the records of their partition: what a module has to write
 * in one batch with them and nobody is to list. `range`, `partitions` and `changes` do not show them.
 */
export const BESIDE = '\u{10ffff}'

export type StoreWrite = {
  partition: string
  key: string
  /** Version of the live record, 0 where there is none; any other is a `version_conflict`. */
  expectedVersion?: number
} /** `becomes`: the version that it gets, as `nextVersion` says; any other is a `version_conflict`. */ & (
  | { op: 'put'; value: unknown; expires?: number; becomes?: number }
  | { op: 'delete' }
)

export type StoreOutcome =
  | { ok: true; records: { version: number; seq: number }[] }
  /** A batch is atomic: after a conflict none of it was written. */
  | { ok: false; error: ErrorBody }

/**
 * Bytes of keys and values as JSON that one read of the store gives out, where nothing else is asked for. A reader who
 * wants more goes on behind them, and others have their turn in between.
 */
export const PAGE_BYTES = 8 * 1024 * 1024

/** How much one read gives out at most; of what is larger than `maxBytes` by itself one comes alone. */
export interface PageSize {
  limit: number
  /** @default PAGE_BYTES */
  maxBytes?: number
}

/** The only place that knows about disks. Callbacks of writes run after the data is durable. */
export interface Store {
  /** Last committed record, or nothing. Expired records are nothing. */
  get(partition: string, key: string): StoreRecord | undefined
  /**
   * Like `get`, but sees writes that are accepted and not yet durable; for read-modify-write inside a module, whose
   * answer then waits for its own write. A deleted key is `undefined`.
   */
  latest(partition: string, key: string): StoreRecord | undefined
  /** Version that the next accepted write of this key gets: it goes on counting over deletions that are remembered. */
  nextVersion(partition: string, key: string): number
  /** Whether a write of this key is accepted and not yet durable; `settled` runs when none is. */
  settled(partition: string, key: string, done: () => void): void
  /** Atomic within one partition; `done` runs after the commit is durable, in the order of the writes. */
  write(batch: StoreWrite[], done: (outcome: StoreOutcome) => void, options?: { relaxed?: boolean }): void
  /**
   * Records of a partition by key (as UTF-8 bytes), ascending. `after` is exclusive. Long reads run in the store's own
   * thread and see every write that was accepted before them. After an `error` the list is empty and says nothing.
   * `next` is the `after` of what follows; it is absent where nothing does.
   */
  range(
    partition: string,
    options: { prefix?: string; after?: string } & PageSize,
    done: (records: StoreRecord[], error?: ErrorBody, next?: string) => void,
  ): void
  /** Partitions that start with this text and hold at least one live record, sorted; `next` as of `range`. */
  partitions(
    prefix: string,
    options: { after?: string; maxBytes?: number },
    done: (names: string[], error?: ErrorBody, next?: string) => void,
  ): void
  /**
   * Changes of all partitions that start with `prefix`, by seq, ascending; a deletion has no `value`. Old deletions are
   * forgotten after a bound: where some lie after `after` the error is `history_pruned`, and one starts again from 0.
   * `next` as of `range`.
   */
  changes(
    prefix: string,
    options: { after: number } & PageSize,
    done: (
      changes: (StoreRecord & { partition: string; deleted: boolean })[],
      error?: ErrorBody,
      next?: number,
    ) => void,
  ): void
  /** Why the disk took no write, or answered no read, when it was last asked; nothing where it did. */
  trouble(): string | undefined
}
