import { hash } from 'node:crypto'
import { canonicalJson } from '@agentos/protocol'

/** The hash by which two inputs are the same. */
export function hashOf(input: unknown): string {
  return hash('sha256', canonicalJson(input ?? null))
}

/**
 * The input as the journal keeps and compares it: without channels. A channel is another one each time, its key opens
 * it, and it is gone when the engine comes back; what is asked for is the same with and without one.
 */
export function withoutChannels(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => !isChannel(item)).map(withoutChannels)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(([, inner]) => !isChannel(inner))
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutChannels(inner)]))
}

/** Is there a stream to be written to in this input? */
export function holdsWriter(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (isChannel(value)) return (value as { direction?: unknown }).direction === 'write'
  return Object.values(value).some(holdsWriter)
}

function isChannel(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { channel_id, access_key } = value as Record<string, unknown>
  return typeof channel_id === 'string' && typeof access_key === 'string'
}
