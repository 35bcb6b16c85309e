import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemoryTraceStore } from './memory-trace-store.ts'
import { openSqliteStore } from './sqlite-store.ts'
import { NOW, traceStoreContract } from './trace-store.contract.ts'

const clock = { now: () => NOW, precise: () => NOW, monotonic: () => NOW }
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

traceStoreContract('MemoryTraceStore', async (bounds) => ({
  store: new MemoryTraceStore({ clock, bounds }),
  close: async () => {},
}))

traceStoreContract('SqliteTraceStore', async (bounds) => {
  const folder = mkdtempSync(join(tmpdir(), 'agentos-traces-'))
  const threadUrl = new URL('./thread.ts', import.meta.url)
  const store = await openSqliteStore({ folder, threadUrl, clock, log, traces: bounds })
  return {
    store: store.traces,
    close: async () => {
      await store.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
})
