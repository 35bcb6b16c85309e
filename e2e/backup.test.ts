import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const CLI = join(import.meta.dirname, '../dist/agentos.mjs')

let folder: string
let data: string
let system: System | undefined

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-backup-'))
  data = join(folder, 'data')
  await start()
})
afterAll(async () => {
  await system?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function start(): Promise<void> {
  system = await startSystem({ workers: [], dataDir: data })
}

async function stop(): Promise<void> {
  await system?.stop()
  system = undefined
}

/** Runs a command of the command line on the data folder of this test. */
function agentos(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const env = {
    PATH: process.env.PATH,
    NO_COLOR: '1',
    AGENTOS_DATA: data,
    AGENTOS_API_URL: system?.httpUrl ?? 'http://127.0.0.1:9',
  }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [CLI, ...args], { env }, (_error, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    )
  })
}

function state<T>(id: string, payload: object): Promise<T> {
  return system!.client({ owner: true }).trigger<T>({ function_id: `state::${id}`, payload })
}

// One data folder, one step after the other: a test tried again would find what its first try left behind.
describe('backup and restore', { retry: 0 }, () => {
  it('brings back what was there, from a system that ran to one that does not', async () => {
    for (let n = 0; n < 50; n += 1) await state('set', { scope: 'users', key: `u${n}`, value: { n } })
    const taken = await agentos('backup', join(folder, 'one.backup'))
    expect(taken).toMatchObject({ code: 0 })
    expect(taken.out).toContain('Not in it: secrets.json')
    expect(taken.out).toContain('keys/audit')
    await state('set', { scope: 'users', key: 'u7', value: 'changed later' })

    const early = await agentos('restore', join(folder, 'one.backup'))
    expect(early).toMatchObject({ code: 1, err: expect.stringMatching(/Process \d+ has .* open; stop it first/) })
    await stop()
    const restored = await agentos('restore', join(folder, 'one.backup'))
    expect(restored).toMatchObject({ code: 0, out: expect.stringContaining('before-restore-') })
    expect(restored.out).toContain('AUDIT_HMAC_KEY')
    expect(await agentos('doctor')).toMatchObject({ code: 0, out: expect.stringContaining('as they were written') })
    await start()
    expect(await state('get', { scope: 'users', key: 'u7' })).toEqual({ n: 7 })
  })

  it('is for the owner alone', async () => {
    const guest = system!.client()
    const call = guest.trigger({ function_id: 'engine::store::backup', payload: { path: join(folder, 'stolen') } })
    await expect(call).rejects.toMatchObject({ code: expect.stringMatching(/forbidden/i) })
  })

  it('refuses a damaged backup, with a way out', async () => {
    const file = join(folder, 'two.backup')
    expect(await agentos('backup', file)).toMatchObject({ code: 0 })
    await stop()
    const bytes = readFileSync(file)
    bytes[bytes.length - 10]! ^= 1
    writeFileSync(file, bytes)
    const refused = await agentos('restore', file)
    expect(refused).toMatchObject({ code: 1, err: expect.stringContaining('Use another backup') })
    await start()
    expect(await state('get', { scope: 'users', key: 'u9' })).toEqual({ n: 9 })
  })
})

describe('agentos doctor', { retry: 0 }, () => {
  it('says what a repair would leave out, changes nothing without --yes, and keeps the files', async () => {
    await stop()
    const store = join(data, 'store.sqlite')
    const bytes = readFileSync(store)
    bytes[bytes.indexOf('{"n":31}') + 5]! ^= 1
    writeFileSync(store, bytes)
    const found = await agentos('doctor', '--repair')
    expect(found).toMatchObject({ code: 1, out: expect.stringMatching(/record 'u31' of .*Add --yes/s) })
    expect(readFileSync(store).equals(bytes)).toBe(true)
    const repaired = await agentos('doctor', '--repair', '--yes')
    expect(repaired).toMatchObject({
      code: 0,
      out: expect.stringMatching(/files as they were are in .*damaged-.*gone: the record 'u31'/s),
    })
    expect(await agentos('doctor')).toMatchObject({ code: 0 })
    await start()
    expect((await state('get', { scope: 'users', key: 'u31' })) ?? null).toBeNull()
    expect(await state('get', { scope: 'users', key: 'u30' })).toEqual({ n: 30 })
  })
})
