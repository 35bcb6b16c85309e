import type { Content } from './outbox-entry.ts'

/** What a channel can do with a message. Every failure is a `SendError`; anything else counts as `unknown`. */
export interface Transport {
  /** Sends a message once and answers the service's id of it. Presses name `entryId` and the number of the button. */
  send(conversation: string, content: Content, entryId: string): Promise<string>
  /** Makes a sent message show this; a message that shows it already is no error. */
  edit(conversation: string, messageId: string, content: Content, entryId: string): Promise<void>
}

/**
 * `not_sent`: it certainly took no effect and may be tried again. `refused`: it took none and never will. `unknown`: the
 * request went out and its answer was lost.
 */
export type SendOutcome = 'not_sent' | 'refused' | 'unknown'

/** Why a request to the service failed. The message must hold no secret: it is stored and shown. */
export class SendError extends Error {
  readonly outcome: SendOutcome
  /** When the service wants to hear again. */
  readonly retryAfterMs: number | undefined

  constructor(outcome: SendOutcome, message: string, retryAfterMs?: number) {
    super(message)
    this.name = 'SendError'
    this.outcome = outcome
    this.retryAfterMs = retryAfterMs
  }
}

/** The conversation has become another one: nothing was sent, and what is for it goes there from now on. */
export class MovedError extends SendError {
  readonly to: string

  constructor(to: string, message: string) {
    super('not_sent', message)
    this.name = 'MovedError'
    this.to = to
  }
}
