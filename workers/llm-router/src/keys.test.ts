import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KeyRing } from './keys.ts'

describe('keys', () => {
  let folder: string
  const env: Record<string, string> = {}
  const ring = () =>
    new KeyRing({ secretsPath: join(folder, 'data', 'secrets.json'), dotenvPath: join(folder, '.env'), env })

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keys-'))
    for (const name of Object.keys(env)) delete env[name]
  })
  afterEach(() => rm(folder, { recursive: true }))

  it('come from the environment first, then from secrets.json, then from .env', async () => {
    const keys = ring()
    expect(await keys.find('A_KEY')).toBeUndefined()
    await writeFile(join(folder, '.env'), 'A_KEY=written')
    expect(await keys.find('A_KEY')).toEqual({ value: 'written', source: 'dotenv' })
    await keys.set('A_KEY', 'stored')
    expect(await keys.find('A_KEY')).toEqual({ value: 'stored', source: 'secrets' })
    env.A_KEY = 'given'
    expect(await keys.find('A_KEY')).toEqual({ value: 'given', source: 'env' })
    env.A_KEY = '  '
    expect((await keys.find('A_KEY'))?.source).toBe('secrets')
  })

  it('are found again when a file changes', async () => {
    const keys = ring()
    const path = join(folder, '.env')
    await writeFile(path, 'A_KEY=one')
    expect((await keys.find('A_KEY'))?.value).toBe('one')
    await writeFile(path, 'A_KEY=two')
    await utimes(path, new Date(), new Date(Date.now() + 5_000))
    expect((await keys.find('A_KEY'))?.value).toBe('two')
    await rm(path)
    expect(await keys.find('A_KEY')).toBeUndefined()
  })

  it('are stored for the owner only, all of several at once, and removed by an empty one', async () => {
    const keys = ring()
    await Promise.all([keys.set('A_KEY', 'a'), keys.set('B_KEY', ' b\n'), keys.set('C_KEY', 'c')])
    await keys.set('C_KEY', '')
    const path = join(folder, 'data', 'secrets.json')
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({ A_KEY: 'a', B_KEY: 'b' })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await ring().find('B_KEY'))?.value).toBe('b')
  })

  it('survive a file that somebody is editing', async () => {
    const keys = ring()
    await keys.set('A_KEY', 'a')
    await writeFile(join(folder, 'data', 'secrets.json'), '{"A_KEY": "a')
    expect(await keys.find('A_KEY')).toBeUndefined()
    await expect(keys.set('B_KEY', 'b')).rejects.toThrow()
  })

  it('are found anew in .env even where the environment holds a copy of what it was', async () => {
    await writeFile(join(folder, '.env'), 'A_KEY="one" # mine')
    env.A_KEY = 'one'
    const keys = ring()
    expect(await keys.find('A_KEY')).toEqual({ value: 'one', source: 'dotenv' })
    await writeFile(join(folder, '.env'), 'A_KEY=another')
    expect(await keys.find('A_KEY')).toEqual({ value: 'another', source: 'dotenv' })
    await keys.set('A_KEY', 'pasted')
    expect(await keys.find('A_KEY')).toEqual({ value: 'pasted', source: 'secrets' })
  })
})
