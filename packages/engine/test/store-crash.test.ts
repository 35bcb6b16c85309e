import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { openSqliteStore } from '../src/store/sqlite-store.ts'

const ROUNDS = 4
const writer = fileURLToPath(new URL('./store-writer.ts', import.meta.url))

/** Runs the writer until it has acknowledged this many writes, then kills it; the highest number of each writer. */
async function killAfter(folder: string, writes: number): Promise<Map<number, number>> {
  const child = spawn(process.execPath, [writer, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  let lines = 0
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
    lines += chunk.split('\n').length - 1
    if (lines >= writes) child.kill('SIGKILL')
  })
  await once(child, 'close')
  const acknowledged = new Map<number, number>()
  // The last line may be cut off by the kill.
  for (const line of text.slice(0, text.lastIndexOf('\n')).split('\n')) {
    const [id, n] = line.split(' ').map(Number)
    acknowledged.set(id!, Math.max(acknowledged.get(id!) ?? 0, n!))
  }
  return acknowledged
}

it('has every acknowledged write after kill -9, and batches whole', { timeout: 60_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'agentos-crash-'))
  const warnings: string[] = []
  const push = (_fields: object, message: string) => warnings.push(message)
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const acknowledged = await killAfter(folder, 400 + round * 333)
      const store = await openSqliteStore({
        folder,
        threadUrl: new URL('../src/store/thread.ts', import.meta.url),
        clock: { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() },
        log: { debug: push, info: push, warn: push, error: push },
      })
      expect(acknowledged.size).toBeGreaterThan(0)
      for (const [id, n] of acknowledged) {
        const last = store.get(`writer/${id}`, 'last')?.value as number
        expect(last).toBeGreaterThanOrEqual(n)
        expect(store.get(`writer/${id}`, `k${last % 50}`)?.value).toMatchObject({ n: last })
        expect(store.get(`writer/${id}`, `k${n % 50}`)?.value).toBeDefined()
      }
      await store.close()
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
