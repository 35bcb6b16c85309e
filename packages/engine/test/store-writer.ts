import { openSqliteStore } from '../src/store/sqlite-store.ts'

/**
 * Writes through the store until it is killed, and prints a line for each acknowledged write: its key and number.
 * Started by store-crash.test.ts with the data folder.
 */
const WRITERS = 16
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

const store = await openSqliteStore({
  folder: process.argv[2]!,
  threadUrl: new URL('../src/store/thread.ts', import.meta.url),
  clock: { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() },
  log: quiet,
})

function next(writer: number, n: number): void {
  const batch = [
    { op: 'put' as const, partition: `writer/${writer}`, key: `k${n % 50}`, value: { n, pad: 'x'.repeat(n % 700) } },
    { op: 'put' as const, partition: `writer/${writer}`, key: 'last', value: n },
  ]
  store.write(batch, (outcome) => {
    if (outcome.ok) process.stdout.write(`${writer} ${n}\n`)
    next(writer, n + 1)
  })
}

for (let writer = 0; writer < WRITERS; writer += 1) {
  next(writer, ((store.get(`writer/${writer}`, 'last')?.value as number | undefined) ?? 0) + 1)
}
