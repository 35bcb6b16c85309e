import type { Patch } from './plant.ts'

/** A bug that is planted in a copy of the build. The product has no switch for it. */
export interface PlantedBug extends Patch {
  /** The row that must turn red. */
  row: number
  /** The row bundles the store itself. */
  store?: true
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'fsync off',
    row: 3,
    store: true,
    file: 'packages/engine/src/store/record-database.ts',
    edits: [
      {
        find: 'PRAGMA synchronous = FULL',
        replace: 'PRAGMA synchronous = OFF',
      },
    ],
  },
  {
    name: 'every fortieth commit unsynced',
    row: 3,
    store: true,
    file: 'packages/engine/src/store/record-database.ts',
    edits: [
      {
        find: "this.db.exec('BEGIN IMMEDIATE')\n      this.written = 0",
        replace: `const planted = globalThis as { commits?: number }
      planted.commits = (planted.commits ?? 0) + 1
      this.db.exec(\`PRAGMA synchronous = \${planted.commits % 40 === 0 ? 'OFF' : 'FULL'}; BEGIN IMMEDIATE\`)
      this.written = 0`,
      },
    ],
  },
  {
    name: 'answer before write',
    row: 3,
    store: true,
    file: 'packages/engine/src/store/thread.ts',
    edits: [
      {
        find: 'const outcomes = this.records.commit(batches, last.request.now)',
        replace: `const outcomes = batches.map((batch) => ({ ok: true as const, versions: batch.writes.map(() => 1) }))
    setTimeout(() => this.records.commit(batches, last.request.now), 2)`,
      },
    ],
  },
  {
    name: 'checksum unchecked',
    row: 4,
    store: true,
    file: 'packages/engine/src/store/record.ts',
    edits: [
      {
        find: 'if (checksum(row) === row.crc) return row',
        replace: 'if (row) return row',
      },
    ],
  },
  {
    name: 'fence off',
    row: 7,
    file: 'packages/engine/src/core/registry.ts',
    // There are two fences, one behind the other.
    edits: [
      { find: 'for (const other of replaced) other.connection.functions.delete(id)', replace: '' },
      {
        find: 'const rest = existing.filter((registration) => registration.connection !== connection)\n    if (rest.length === existing.length) return false',
        replace: 'const rest: Registration[] = []',
      },
    ],
  },
  {
    name: 'lease that never expires',
    row: 2,
    file: 'packages/engine/src/modules/queue/job-queue.ts',
    edits: [
      {
        find: 'const deadline = clock.monotonic() + this.config.leaseMs',
        replace: 'const deadline = clock.monotonic() + 2 ** 31',
      },
    ],
  },
  {
    name: 'idempotency key ignored',
    row: 1,
    file: 'packages/engine/src/modules/keys/module.ts',
    edits: [{ find: 'if (!found) return', replace: 'if (Math.abs(0) < 1) return' }],
  },
  {
    name: 'key of a job ignored',
    row: 2,
    file: 'packages/engine/src/modules/queue/job-queue.ts',
    edits: [
      {
        find: '[write, ...this.keys.recordOf(work, given.id)]',
        replace: '[write, ...(Math.abs(0) > 1 ? this.keys.recordOf(work, given.id) : [])]',
      },
    ],
  },
  {
    name: 'late result accepted',
    row: 13,
    file: 'packages/engine/src/core/calls.ts',
    edits: [
      // A call that has ended stays with its worker, and what comes for it is taken.
      {
        find: 'if (connection.serving.delete(call.attempt.id) && call.ofGuests) connection.guestsServed -= 1\n',
        replace: '',
      },
      {
        find: 'return this.sendElsewhere(call)\n    this.end(',
        replace: 'return this.sendElsewhere(call)\n    call.ended = call.settled = false\n    this.end(',
      },
    ],
  },
  {
    name: 'cron marker before the firing',
    row: 2,
    file: 'packages/engine/src/modules/cron/job.ts',
    edits: [
      {
        find: 'this.write([this.scheduleWrite(), firing], (outcome) => {',
        replace: 'this.write([this.scheduleWrite(), firing].slice(0, 1), (outcome) => {',
      },
    ],
  },
  {
    name: 'reservation never released',
    row: 20,
    file: 'workers/ledger/src/ledger.ts',
    edits: [
      {
        find: '? { reserved: -reservation.amount, spent: microUsd }',
        replace: '? { reserved: 0, spent: microUsd }',
      },
    ],
  },
  {
    name: 'replay out of order',
    row: 17,
    file: 'packages/engine/src/modules/journal/journal.ts',
    // Newest first: an intent that comes after its result makes the step look as if it were still to be done.
    edits: [
      {
        find: 'for (const [n, entry] of entries) {\n          this.last',
        replace: 'for (const [n, entry] of entries.toReversed()) {\n          this.last',
      },
    ],
  },
  {
    name: 'calls of guests counted in the owner’s realm',
    row: 25,
    file: 'packages/engine/src/core/calls.ts',
    edits: [
      {
        find: "if (ofGuests) return this.guestShare.take('in_flight')",
        replace: "if (ofGuests) realm = 'realm-default'",
      },
      {
        find: "if (ofGuests) return this.guestShare.give('in_flight')",
        replace: "if (ofGuests) realm = 'realm-default'",
      },
    ],
  },
]
