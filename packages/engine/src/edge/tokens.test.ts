import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Tokens } from './tokens.ts'

vi.mock('node:fs', { spy: true })

let folder: string
let time = 0

beforeEach(() => {
  time = 0
  folder = mkdtempSync(join(tmpdir(), 'agentos-tokens-'))
  mkdirSync(join(folder, 'credentials'))
})
afterEach(() => rmSync(folder, { recursive: true }))

const write = (file: string, token: string) => writeFileSync(join(folder, file), `${token}\n`)
const open = () => new Tokens(folder, ['memory', 'realm'], () => time)

describe('tokens', () => {
  it('say whose they are', () => {
    write('owner-token', 'of-the-owner')
    write('credentials/realm', 'of-realm')
    const tokens = open()
    expect(tokens.grantOf('of-the-owner')?.principal).toEqual({ kind: 'owner', id: 'owner' })
    expect(tokens.grantOf('of-realm')).toMatchObject({ principal: { kind: 'system', id: 'realm' }, worker: 'realm' })
    expect(tokens.grantOf('of-nobody')).toBeUndefined()
    expect(tokens.grantOf('')).toBeUndefined()
  })

  it('are found as soon as they are written', () => {
    const tokens = open()
    expect(tokens.grantOf('late')).toBeUndefined()
    write('credentials/memory', 'late')
    expect(tokens.grantOf('late')?.worker).toBe('memory')
  })

  it('work at once when they were rotated, and the old one ends within a second', () => {
    write('owner-token', 'old')
    const tokens = open()
    expect(tokens.grantOf('old')).toBeDefined()
    write('owner-token', 'new')
    expect(tokens.grantOf('new')?.principal.kind).toBe('owner')
    // Having seen the new one, it knows better than the second it had.
    expect(tokens.grantOf('old')).toBeUndefined()
  })

  it('that were replaced, unknown to the engine, end after a second', () => {
    write('owner-token', 'old')
    const tokens = open()
    expect(tokens.grantOf('old')).toBeDefined()
    write('owner-token', 'new')
    time = 999
    expect(tokens.grantOf('old')).toBeDefined()
    time = 1_000
    expect(tokens.grantOf('old')).toBeUndefined()
  })

  it('that nobody has are compared without reading the files again, while nothing changes', async () => {
    write('owner-token', 'of-the-owner')
    write('credentials/realm', 'of-realm')
    const tokens = open()
    // Old enough that a change would be seen.
    const before = new Date(Date.now() - 60_000)
    for (const file of ['owner-token', 'credentials']) utimesSync(join(folder, file), before, before)
    tokens.grantOf('wrong')
    const read = vi.mocked(readFileSync).mock.calls.length
    for (let n = 0; n < 100; n += 1) expect(tokens.grantOf(`wrong-${n}`)).toBeUndefined()
    expect(vi.mocked(readFileSync).mock.calls.length).toBe(read)
    expect(tokens.grantOf('of-realm')?.worker).toBe('realm')
  })
})
