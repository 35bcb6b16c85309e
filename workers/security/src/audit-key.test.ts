import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadAuditKeys } from './audit-key.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'audit-key-'))
})
afterEach(() => rm(dataDir, { recursive: true }))

describe('the audit key', () => {
  it('is made once and kept in a file that only its owner reads', async () => {
    const [made] = await loadAuditKeys(dataDir, undefined)
    const [again] = await loadAuditKeys(dataDir, '')
    const file = join(dataDir, 'keys/audit')
    expect(again).toEqual(made)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect(made.id).not.toContain((await readFile(file, 'utf8')).slice(0, 12))
  })

  it('comes from the setting as hex or base64, current one first, and the file still verifies', async () => {
    const [kept] = await loadAuditKeys(dataDir, undefined)
    const hex = 'ab'.repeat(32)
    const base64 = Buffer.alloc(32, 7).toString('base64')
    const keys = await loadAuditKeys(dataDir, `${hex}, ${base64}`)
    expect(keys.map(({ secret }) => secret.toString('hex'))).toEqual([
      hex,
      '07'.repeat(32),
      kept.secret.toString('hex'),
    ])
  })

  it('is refused where it is too short or unreadable', async () => {
    await expect(loadAuditKeys(dataDir, 'ab'.repeat(31))).rejects.toMatchObject({ code: 'not_configured' })
    await expect(loadAuditKeys(dataDir, 'not a key!')).rejects.toMatchObject({ code: 'not_configured' })
    await loadAuditKeys(dataDir, undefined)
    await writeFile(join(dataDir, 'keys/audit'), '')
    await expect(loadAuditKeys(dataDir, undefined)).rejects.toMatchObject({ code: 'not_configured' })
  })
})
