import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileRead, fileWrite } from '@agentos/contracts/toolbox'
import { StateClient } from '@agentos/sdk'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { writeOnce } from './keyed-writes.ts'
import { Workspace } from './workspace.ts'

const REALM = 'realm-default'
let root: string
let files: Workspace
let records: Map<string, unknown>
/** Writes of the state that still happen before the process dies. */
let writesLeft: number

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'agentos-keyed-'))
  files = new Workspace(root, 1_000)
  records = new Map()
  writesLeft = Number.POSITIVE_INFINITY
})
afterEach(() => rm(root, { recursive: true }))

const state = new StateClient(async ({ function_id: id, payload }) => {
  const { key, value } = payload as { key: string; value: unknown }
  if (id === 'state::get') return records.get(key)
  if (writesLeft-- <= 0) throw new Error('killed')
  records.set(key, structuredClone(value))
  return { version: 1 }
})

function write(content: string, key: string | undefined, more: object = {}) {
  const call = { functionId: 'fn::file_write', idempotencyKey: key, principal: { kind: 'agent' as const, id: 'a' } }
  return writeOnce(files, { ...call, realm: REALM, state }, fileWrite.input().parse({ path: 'a', content, ...more }))
}
const read = async () => (await files.read(REALM, fileRead.input().parse({ path: 'a' }))).content

describe('a file that is written again under the key of its call', () => {
  it('is left as it is now, and answered as the first time', async () => {
    const first = await write('1', 'k', { expectedHash: null })
    expect(first).toMatchObject({ created: true })
    await write('2', 'other', { expectedHash: first.hash })
    expect(await write('1', 'k', { expectedHash: null })).toEqual(first)
    expect(await read()).toBe('2')
    await expect(write('3', 'k', { expectedHash: null })).rejects.toMatchObject({ code: 'key_reused' })
  })

  it.each([null, 'hash', undefined])(
    'is no conflict where the process died behind the write (expected: %s)',
    async (kind) => {
      const before = kind === null ? undefined : await write('0', undefined)
      const expected = kind === 'hash' ? { expectedHash: before!.hash } : kind === null ? { expectedHash: null } : {}
      // What the call knows is written, what it answered is not.
      writesLeft = 1
      const first = await write('1', 'k', expected)
      writesLeft = 2
      expect(await write('1', 'k', expected)).toEqual(first)
      expect(first.created).toBe(kind === null)
    },
  )

  it('is a conflict where somebody else has written, and the first call had not', async () => {
    const { hash } = await write('0', undefined)
    writesLeft = 0
    await expect(write('1', 'k', { expectedHash: hash })).rejects.toThrow('killed')
    writesLeft = 10
    await write('theirs', undefined)
    await expect(write('1', 'k', { expectedHash: hash })).rejects.toMatchObject({ code: 'version_conflict' })
    expect(await read()).toBe('theirs')
  })
})

it('reading a file that is not there makes no folder', async () => {
  await expect(read()).rejects.toMatchObject({ code: 'not_found' })
  expect(await readdir(root)).toEqual([])
})
