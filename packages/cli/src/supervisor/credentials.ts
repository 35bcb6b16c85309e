import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/**
 * Tokens are files of mode 600 that hold one line: 32 random bytes as base64url. The supervisor creates them before it
 * starts the engine, which reads them; nobody passes them around in a URL or on a command line.
 */
export const ownerTokenPath = (dataDir: string): string => join(dataDir, 'owner-token')
export const credentialPath = (dataDir: string, worker: string): string => join(dataDir, 'credentials', worker)

/** The owner's token, created where there is none. */
export function ensureOwnerToken(dataDir: string): string {
  return ensureToken(ownerTokenPath(dataDir))
}

/** The credential of one installed worker, created where there is none. */
export function ensureCredential(dataDir: string, worker: string): string {
  return ensureToken(credentialPath(dataDir, worker))
}

/** `undefined` where there is no token, or none that this user may read. */
export function readOwnerToken(dataDir: string): string | undefined {
  return readToken(ownerTokenPath(dataDir))
}

/** Values of `secrets.json`, where keys are kept that were pasted; none where it is not there or not whole. */
export function storedKeys(dataDir: string): string[] {
  try {
    const stored: unknown = JSON.parse(readFileSync(join(dataDir, 'secrets.json'), 'utf8'))
    return Object.values(stored ?? {}).filter((value): value is string => typeof value === 'string')
  } catch {
    return []
  }
}

/** Replaces the owner's token in one step: a reader sees the old one or the new one, whole. */
export function rotateOwnerToken(dataDir: string): string {
  const path = ownerTokenPath(dataDir)
  const token = newToken()
  const next = `${path}.${process.pid}.new`
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  rmSync(next, { force: true })
  writeFileSync(next, `${token}\n`, { mode: 0o600, flag: 'wx' })
  renameSync(next, path)
  return token
}

function ensureToken(path: string): string {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const token = newToken()
  try {
    writeFileSync(path, `${token}\n`, { mode: 0o600, flag: 'wx' })
    return token
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const existing = readFileSync(path, 'utf8').trim()
  if (existing) return existing
  // A crash between creating and writing leaves an empty file.
  writeFileSync(path, `${token}\n`, { mode: 0o600 })
  return token
}

function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}

const newToken = (): string => randomBytes(32).toString('base64url')
