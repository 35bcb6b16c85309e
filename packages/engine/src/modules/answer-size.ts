import { EngineError } from '@agentos/protocol'
import { PAGE_BYTES } from '../core/ports.ts'

/** Bytes as JSON that one answer of a function of the engine may have; what grows with the data comes in parts. */
export const ANSWER_BYTES = PAGE_BYTES

/** `instead`: which function and fields give the same in parts. */
export function answerTooLarge(what: string, maxBytes: number, instead: string): EngineError {
  return new EngineError('payload_too_large', `${what} would be over ${maxBytes} bytes; ${instead}`, {
    details: { maxBytes },
  })
}

/** How much of an answer there is already. */
export class AnswerSize {
  readonly maxBytes: number
  private bytes = 0
  private parts = 0

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Counts one more part. Does it still fit? The first always does: it may be as large as one value is. */
  takes(part: unknown): boolean {
    this.bytes += Buffer.byteLength(JSON.stringify(part) ?? 'null') + 1
    this.parts += 1
    return this.parts === 1 || this.bytes <= this.maxBytes
  }
}

/** The parts. Throws `payload_too_large` where they are more than one answer may have. */
export function allWithin<T>(parts: T[], maxBytes: number, what: string, instead: string): T[] {
  const size = new AnswerSize(maxBytes)
  for (const part of parts) if (!size.takes(part)) throw answerTooLarge(what, maxBytes, instead)
  return parts
}
