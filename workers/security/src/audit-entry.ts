import { createHmac, timingSafeEqual } from 'node:crypto'
import { canonicalJson, type Principal, redactSecrets } from '@agentos/sdk'
import type { AuditKey, AuditKeys } from './audit-key.ts'

/** Before the first entry. */
export const GENESIS = '0'.repeat(64)

/** Bytes of JSON that the detail of an entry may have. */
export const DETAIL_BYTES = 8_192
const PREVIEW_CHARS = 1_000

/** What the chain is asked to keep. */
export interface AuditEvent {
  type: string
  agentId: string | null
  actor: Principal | { kind: 'topic'; id: string }
  realm: string
  /** Installed worker that wrote it, where one did. */
  worker?: string
  /** What the caller says and is not believed about. */
  claimed?: { agentId: string }
  detail: unknown
}

export interface AuditEntry extends AuditEvent {
  id: string
  /** From 1, without gaps. */
  sequence: number
  /** Epoch milliseconds. */
  timestamp: number
  keyId: string
  prevHash: string
  /** HMAC-SHA256 over the canonical JSON of all other fields, followed by `prevHash` once more; 64 hex digits. */
  hash: string
}

/** The end of the chain. `hash` is that of the last entry, `mac` protects the head itself. */
export interface AuditHead {
  sequence: number
  hash: string
  id: string
  timestamp: number
  keyId: string
  mac: string
}

export function sealEntry(fields: Omit<AuditEntry, 'hash' | 'keyId'>, key: AuditKey): AuditEntry {
  const unsealed = { ...fields, keyId: key.id }
  return { ...unsealed, hash: mac(key, unsealed, fields.prevHash) }
}

export function headOf(entry: AuditEntry, key: AuditKey): AuditHead {
  const { sequence, hash, id, timestamp } = entry
  const unsealed = { sequence, hash, id, timestamp, keyId: key.id }
  return { ...unsealed, mac: mac(key, unsealed, 'head') }
}

/** Why an entry is not genuine, or nothing. Its place in the chain is for the caller to check. */
export function entryViolation(entry: AuditEntry, keys: AuditKeys): string | undefined {
  const { hash, ...unsealed } = entry
  return sealViolation(unsealed, hash, unsealed.prevHash, keys)
}

export function headViolation(head: AuditHead, keys: AuditKeys): string | undefined {
  const { mac: seal, ...unsealed } = head
  return sealViolation(unsealed, seal, 'head', keys)
}

/** Key under which an entry is stored: sorts as the sequence does. */
export function entryKey(sequence: number): string {
  return String(sequence).padStart(15, '0')
}

/** Without secrets and of bounded size; of what is over the bound a beginning stays. */
export function boundDetail(detail: unknown): unknown {
  const { value } = redactSecrets(detail ?? {})
  const json = JSON.stringify(value)
  const bytes = Buffer.byteLength(json)
  return bytes <= DETAIL_BYTES ? value : { truncated: true, bytes, preview: json.slice(0, PREVIEW_CHARS) }
}

function sealViolation(
  unsealed: { keyId: string },
  seal: unknown,
  suffix: string,
  keys: AuditKeys,
): string | undefined {
  const key = keys.find(({ id }) => id === unsealed.keyId)
  if (!key) return `was sealed with the key ${String(unsealed.keyId)}, which is not here`
  const expected = Buffer.from(mac(key, unsealed, suffix))
  const found = Buffer.from(String(seal))
  return found.length === expected.length && timingSafeEqual(found, expected) ? undefined : 'does not fit its hash'
}

function mac(key: AuditKey, fields: object, suffix: string): string {
  return createHmac('sha256', key.secret).update(canonicalJson(fields)).update(suffix).digest('hex')
}
