import { EngineError } from '@agentos/protocol'

/** Characters of an idempotency key: more than any client library makes. */
const MOST_CHARACTERS = 256

/** Throws where this is not an idempotency key. A longer one is refused, not cut: two could become one. */
export function assertKey(key: string | undefined): void {
  if (key === undefined || (key.length > 0 && key.length <= MOST_CHARACTERS)) return
  throw new EngineError('invalid_input', `An idempotency key has from 1 to ${MOST_CHARACTERS} characters`)
}
