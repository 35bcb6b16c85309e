import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { examine, repair } from './damage.ts'
import { openSqliteStore, type SqliteStore } from './sqlite-store.ts'
import { P, put, write } from './store.contract.ts'
import { StoreLock } from './store-lock.ts'

const clock = { now: () => Date.now(), precise: () => Date.now(), monotonic: () => performance.now() }
const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-lock-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const open = (): Promise<SqliteStore> =>
  openSqliteStore({ folder, threadUrl: new URL('./thread.ts', import.meta.url), clock, log })

/** A store in a process of its own, which writes until it is killed. */
async function inAnotherProcess() {
  const script = fileURLToPath(new URL('../../test/store-writer.ts', import.meta.url))
  const child = spawn(process.execPath, [script, folder], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.stdout.resume()
  const kill = async (): Promise<void> => {
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }
  return { pid: child.pid as number, kill, signal: (name: NodeJS.Signals) => child.kill(name) }
}

describe('a data folder with an open store', () => {
  it('is refused to a second store, which names the first one’s process, and free once that is killed', async () => {
    const first = await inAnotherProcess()
    try {
      const named = process.platform === 'linux' ? `Process ${first.pid} ` : 'Another process '
      await expect(open()).rejects.toMatchObject({ code: 'store_in_use', message: expect.stringContaining(named) })
    } finally {
      await first.kill()
    }
    const store = await open()
    expect(await write(store, [put('a', 1)])).toMatchObject({ ok: true })
    await store.close()
  })

  it.runIf(process.platform === 'linux')(
    'is refused although its lock file was deleted, as often as it is tried',
    async () => {
      const first = await inAnotherProcess()
      try {
        rmSync(join(folder, 'store.lock'))
        for (const _ of [1, 2]) {
          await expect(open()).rejects.toMatchObject({ code: 'store_in_use', details: { pid: first.pid } })
        }
      } finally {
        await first.kill()
      }
      await (await open()).close()
    },
  )

  it.runIf(process.platform === 'linux').each([
    ['moved away', (lock: string) => renameSync(lock, `${lock}.aside`)],
    ['moved out of the folder', (lock: string) => renameSync(lock, `${folder}.lock`)],
    ['deleted', (lock: string) => rmSync(lock)],
  ])('is refused although its lock file was %s while its process stands still', async (_, away) => {
    const first = await inAnotherProcess()
    try {
      first.signal('SIGSTOP')
      away(join(folder, 'store.lock'))
      for (const _ of [1, 2]) {
        await expect(open()).rejects.toMatchObject({ code: 'store_in_use', details: { pid: first.pid } })
      }
    } finally {
      await first.kill()
      rmSync(`${folder}.lock`, { force: true })
    }
    await (await open()).close()
  })

  it('takes its lock anew where the file was moved away, and goes on', async () => {
    const store = await open()
    renameSync(join(folder, 'store.lock'), join(folder, 'aside'))
    expect(await write(store, [put('a', 1)])).toMatchObject({ ok: true })
    await expect(open()).rejects.toMatchObject({ code: 'store_in_use' })
    await store.close()
  })

  it('writes nothing more once another has the lock, says so, and goes on when that is gone', async () => {
    const store = await open()
    expect(await write(store, [put('a', 1)])).toMatchObject({ ok: true })
    renameSync(join(folder, 'store.lock'), join(folder, 'aside'))
    // Of this very process: as where the system does not show who has what open.
    const other = StoreLock.take(folder)
    const refused = { ok: false, error: { code: 'store_unavailable', message: expect.stringContaining('moved away') } }
    expect(await write(store, [put('a', 2)])).toMatchObject(refused)
    expect(store.trouble()).toContain('another process has the store open')
    expect(store.get(P, 'a')).toMatchObject({ value: 1 })
    other.release()
    expect(await write(store, [put('a', 3)])).toMatchObject({ ok: true })
    expect(store.trouble()).toBeUndefined()
    await store.close()
  })

  it('writes nothing more once its folder is another one, and goes on when it is back', async () => {
    const store = await open()
    renameSync(folder, `${folder}-moved`)
    const refused = { ok: false, error: { code: 'store_unavailable', message: expect.stringContaining('put it back') } }
    expect(await write(store, [put('a', 1)])).toMatchObject(refused)
    mkdirSync(folder)
    expect(await write(store, [put('a', 1)])).toMatchObject(refused)
    expect(readdirSync(folder)).toEqual([])
    rmSync(folder, { recursive: true })
    renameSync(`${folder}-moved`, folder)
    expect(await write(store, [put('a', 1)])).toMatchObject({ ok: true })
    await store.close()
  })

  it('is refused to a second store of the same process, and free after the first is closed', async () => {
    const first = await open()
    await expect(open()).rejects.toMatchObject({ code: 'store_in_use' })
    expect(await write(first, [put('a', 1)])).toMatchObject({ ok: true })
    await first.close()
    await (await open()).close()
    expect(readdirSync(folder).filter((name) => name.startsWith('store.lock'))).toEqual(['store.lock'])
    expect(statSync(join(folder, 'store.lock')).size).toBe(0)
  })

  it('is not held by a store that could not be opened', async () => {
    await (await open()).close()
    rmSync(join(folder, 'store.sqlite'))
    for (const _ of [1, 2]) await expect(open()).rejects.toMatchObject({ code: 'data_missing' })
  })

  it('is refused to a repair, and examined all the same', async () => {
    const store = await open()
    await write(store, [put('a', 1)])
    expect(() => repair(folder, Date.now())).toThrow('has the store in')
    expect(examine(folder, { live: true })).toMatchObject({ records: 1, damage: [] })
    await store.close()
  })
})
