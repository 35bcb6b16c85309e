import { openSync, writeSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { SqliteStore } from '../../../packages/engine/src/store/sqlite-store.ts'
import { batchOf } from './workload.ts'

/**
 * The client of a recording: writes batches into a store and, for each that is answered, says so to a file of its own;
 * the trace then holds both in one order. Ends without closing the store.
 */
const [module, thread, folder, acknowledgements, seed, count] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
  string,
]
const { openSqliteStore } = await import(module)
const log = { debug() {}, info() {}, warn() {}, error() {} }
const clock = { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() }
const open = (): Promise<SqliteStore> =>
  openSqliteStore({ folder, threadUrl: new URL(thread), clock, log, limits: { deletions: 3, sweepMs: 40 } })

const acks = openSync(acknowledgements, 'a')
const total = Number(count)
let store = await open()
let issued = 0
const write = (): Promise<void> => {
  const n = issued
  issued += 1
  return new Promise((resolve, reject) =>
    store.write(batchOf(Number(seed), n), (outcome) => {
      if (!outcome.ok) return reject(new Error(outcome.error.message))
      writeSync(acks, `${n}\n`)
      resolve()
    }),
  )
}
while (issued < total) {
  // Alone, then several that share one sync.
  const together = issued % 4 === 0 ? Math.min(5, total - issued) : 1
  await Promise.all(Array.from({ length: together }, write))
  if (issued % 3 === 0) await nextTurn()
  if (issued >= total / 2 && issued < total / 2 + together) {
    await store.close()
    store = await open()
  }
}
writeSync(acks, 'end\n')
process.exit(0)
