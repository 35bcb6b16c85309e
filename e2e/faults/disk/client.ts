import { openSqliteStore } from '../../../packages/engine/src/store/sqlite-store.ts'

/** Writes and reads while somebody makes the disk fail; prints what it was answered, as one JSON line. */
const [folder, count] = process.argv.slice(2) as [string, string]
const threadUrl = new URL('../../../packages/engine/src/store/thread.ts', import.meta.url)
const clock = { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() }
const log = { debug() {}, info() {}, warn() {}, error() {} }
const open = () => openSqliteStore({ folder, threadUrl, clock, log })

const store = await open()
const codes: string[] = []
const acknowledged: number[] = []
/** Reads that were answered while a write waited for the disk; the fewest of any write. */
let fewestReads = Number.POSITIVE_INFINITY
const slowest = { readMs: 0, writeMs: 0 }

for (let n = 0; n < Number(count); n += 1) {
  let pending = true
  let reads = 0
  const began = performance.now()
  const value = { n }
  store.write([{ op: 'put', partition: 'p', key: `k${n}`, value }], (outcome) => {
    pending = false
    codes.push(outcome.ok ? 'ok' : outcome.error.code)
    if (outcome.ok) acknowledged.push(n)
  })
  while (pending) {
    const from = performance.now()
    store.get('p', 'k0')
    slowest.readMs = Math.max(slowest.readMs, performance.now() - from)
    reads += 1
    await new Promise((resolve) => setImmediate(resolve))
  }
  slowest.writeMs = Math.max(slowest.writeMs, performance.now() - began)
  fewestReads = Math.min(fewestReads, reads)
}
await store.close()
const again = await open()
const lost = acknowledged.filter((n) => again.get('p', `k${n}`) === undefined)
await again.close()
process.stdout.write(`${JSON.stringify({ codes, lost, fewestReads, slowest })}\n`)
