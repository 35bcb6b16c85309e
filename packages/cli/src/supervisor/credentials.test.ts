import { mkdtempSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  credentialPath,
  ensureCredential,
  ensureOwnerToken,
  ownerTokenPath,
  readOwnerToken,
  rotateOwnerToken,
} from './credentials.ts'

const dataDir = () => mkdtempSync(join(tmpdir(), 'agentos-cli-'))

describe('credentials', () => {
  it('creates the owner token once, 32 bytes, readable by the owner only', () => {
    const data = dataDir()
    const token = ensureOwnerToken(data)
    expect(Buffer.from(token, 'base64url')).toHaveLength(32)
    expect(ensureOwnerToken(data)).toBe(token)
    expect(readOwnerToken(data)).toBe(token)
    expect(statSync(ownerTokenPath(data)).mode & 0o777).toBe(0o600)
  })

  it('gives every worker a credential of its own', () => {
    const data = dataDir()
    const memory = ensureCredential(data, 'memory')
    expect(ensureCredential(data, 'realm')).not.toBe(memory)
    expect(ensureCredential(data, 'memory')).toBe(memory)
    expect(statSync(credentialPath(data, 'memory')).mode & 0o777).toBe(0o600)
  })

  it('fills a file that a crash left empty', () => {
    const data = dataDir()
    writeFileSync(ownerTokenPath(data), '')
    const token = ensureOwnerToken(data)
    expect(token).not.toBe('')
    expect(readOwnerToken(data)).toBe(token)
  })

  it('rotates the owner token and keeps the mode', () => {
    const data = dataDir()
    const before = ensureOwnerToken(data)
    const after = rotateOwnerToken(data)
    expect(after).not.toBe(before)
    expect(readOwnerToken(data)).toBe(after)
    expect(statSync(ownerTokenPath(data)).mode & 0o777).toBe(0o600)
  })
})
