import { hash, randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AgentError } from '@agentos/sdk'

const KEY_BYTES = 32

export interface AuditKey {
  /** 12 hex digits of a digest of the key: names it without giving it away. */
  id: string
  secret: Buffer
}

/** The first key signs; all of them verify, so that entries outlive a change of the key. */
export type AuditKeys = readonly [AuditKey, ...AuditKey[]]

/**
 * Keys from `setting` (AUDIT_HMAC_KEY: one key of at least 32 bytes as hex or base64, or several with commas, the current
 * one first) and from the file `keys/audit` in the data folder. Where there is neither, a key is made and kept in that
 * file, readable by its owner alone. Throws `not_configured` for a key that is too short or unreadable.
 */
export async function loadAuditKeys(dataDir: string, setting: string | undefined): Promise<AuditKeys> {
  const folder = join(dataDir, 'keys')
  const file = join(folder, 'audit')
  const configured = (setting ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '')
    .map((text) => parseKey(text, 'AUDIT_HMAC_KEY'))
  const stored = await readKeyFile(file)
  if (stored) configured.push(stored)
  const [first, ...others] = configured
  if (first) return [first, ...others.filter((key) => key.id !== first.id)]

  await mkdir(folder, { recursive: true, mode: 0o700 })
  const secret = randomBytes(KEY_BYTES)
  await writeFile(file, `${secret.toString('hex')}\n`, { mode: 0o600, flag: 'wx', flush: true })
  return [named(secret)]
}

async function readKeyFile(file: string): Promise<AuditKey | undefined> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
  await chmod(file, 0o600)
  return parseKey(text.trim(), file)
}

function parseKey(text: string, origin: string): AuditKey {
  const isHex = /^[0-9a-f]+$/i.test(text) && text.length % 2 === 0
  const isBase64 = /^[A-Za-z0-9+/_-]+={0,2}$/.test(text)
  const secret = isHex ? Buffer.from(text, 'hex') : isBase64 ? Buffer.from(text, 'base64') : Buffer.alloc(0)
  if (secret.length < KEY_BYTES) {
    throw new AgentError(
      'not_configured',
      `${origin} does not hold a key of at least ${KEY_BYTES} bytes as hex or base64; make one with "openssl rand -hex 32"`,
    )
  }
  return named(secret)
}

function named(secret: Buffer): AuditKey {
  return { id: hash('sha256', Buffer.concat([Buffer.from('audit key id'), secret])).slice(0, 12), secret }
}
