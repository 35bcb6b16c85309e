import type { StreamFrame } from '@agentos/contracts/llm-router'

/** Of an answer in English; what is not settled by the provider's own count is booked by it. */
const BYTES_PER_TOKEN = 4
/** A provider that is told a limit stops there itself; what goes on for long after it is cut off. */
const TOLERANCE = 1.25
const SLACK_TOKENS = 16

/** What is held for an answer while it comes. */
export interface Cover {
  /** Tokens of output that the money held now pays. */
  readonly tokens: number
  /** Tokens that the provider was told as its limit. */
  readonly limit: number
  /** Holds more; false where nothing was added. */
  extend(): Promise<boolean>
}

/** Counts an answer as it streams: a token for each event or for so many bytes, whichever is more. */
export class Meter {
  private readonly cover: Cover
  private readonly bytesPerToken: number
  private events = 0
  /** Of what the answer holds so far. */
  bytes = 0
  /** The request is on its way to the provider. */
  asked = false
  /** Response headers of success have come: from here on the provider may charge. */
  answered = false
  /** The provider refused, or was never reached: it charges nothing. */
  refused = false

  /** `bytesPerToken`: bytes that make a token at least, as far as is known. */
  constructor(cover: Cover, bytesPerToken: number = BYTES_PER_TOKEN) {
    this.cover = cover
    this.bytesPerToken = bytesPerToken
  }

  /** What the answer most likely has. */
  get tokens(): number {
    return Math.max(this.events, Math.ceil(this.bytes / BYTES_PER_TOKEN))
  }

  /** What the answer has at most. */
  private get most(): number {
    return Math.max(this.events, Math.ceil(this.bytes / this.bytesPerToken))
  }

  count(events: number, frames: readonly StreamFrame[]): void {
    this.events += events
    for (const frame of frames) {
      if (frame.type === 'text' || frame.type === 'reasoning') this.bytes += Buffer.byteLength(frame.text)
      else if (frame.type === 'toolCall')
        this.bytes += Buffer.byteLength(frame.argumentsText ?? JSON.stringify(frame.arguments))
    }
  }

  /** False where the stream has to end here, because the money for more of it cannot be had. */
  async goesOn(): Promise<boolean> {
    const { cover, most } = this
    if (cover.tokens >= cover.limit) return this.tokens <= cover.limit * TOLERANCE + SLACK_TOKENS
    // Ahead of the edge, so that what is on its way is paid too.
    if (most < cover.tokens * 0.75) return true
    return (await cover.extend()) || most < cover.tokens
  }
}
