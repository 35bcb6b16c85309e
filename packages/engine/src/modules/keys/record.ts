import { hash } from 'node:crypto'
import { canonicalJson, EngineError, type ErrorBody, payloadValue } from '@agentos/protocol'
import type { CallResult, InvokeRequest } from '../../core/module.ts'

/** How long a key stands for its first call. */
export const KEPT_MS = 24 * 3_600_000
export const KEYS = 'keys/'

/** What is stored under a key. The key itself is not: only who knows it finds its record. */
export interface KeyRecord {
  function_id: string
  /** SHA-256 of the canonical input. */
  input: string
  /** Epoch milliseconds. */
  created_at: number
  /** Absent while it is not known what came of the call. */
  outcome?: Outcome
}

export type Outcome =
  | { ok: true; result?: unknown }
  | { ok: false; error: ErrorBody }
  /** Done, with a result that was too large to be kept. */
  | { ok: true; too_large: number }

/** Where the record of a call's key lies. */
export interface Slot {
  partition: string
  key: string
}

/** A key belongs to the realm, the principal and the function. */
export function slotOf({ functionId, context }: InvokeRequest): Slot {
  const { realm, principal, idempotencyKey } = context
  return {
    partition: `${KEYS}${[realm, principal.kind, principal.id].map(encodeURIComponent).join('/')}`,
    key: hash('sha256', JSON.stringify([functionId, idempotencyKey])),
  }
}

export function inputHash({ keyed, payload }: InvokeRequest): string {
  return hashOf(keyed && 'input' in keyed ? keyed.input : payloadValue(payload))
}

/** The hash by which two inputs are the same. */
export function hashOf(input: unknown): string {
  return hash('sha256', canonicalJson(input ?? null))
}

export function keyReused(): EngineError {
  return new EngineError('key_reused', 'The idempotency key was used for another input; take a new one')
}

/** The result that a repeated call gets. */
export function resultOf(record: KeyRecord, outcome: Outcome): CallResult {
  if (!outcome.ok) return { ok: false, error: outcome.error }
  if ('too_large' in outcome) {
    const message = `${record.function_id} was done under this key; its result of ${outcome.too_large} bytes was too large to be kept`
    return { ok: false, error: { code: 'payload_too_large', message } }
  }
  return { ok: true, payload: 'result' in outcome ? { value: outcome.result } : undefined }
}
