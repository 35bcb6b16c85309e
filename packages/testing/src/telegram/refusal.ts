/** What the Bot API answers instead of a result. */
export class Refusal extends Error {
  readonly code: number
  readonly retryAfter: number | undefined
  /** The supergroup that the chat has become. */
  readonly migrateTo: number | undefined

  constructor(code: number, description: string, retryAfter?: number, migrateTo?: number) {
    super(description)
    this.code = code
    this.retryAfter = retryAfter
    this.migrateTo = migrateTo
  }

  body(): object {
    const { code, message, retryAfter, migrateTo } = this
    const parameters = {
      ...(retryAfter === undefined ? {} : { retry_after: retryAfter }),
      ...(migrateTo === undefined ? {} : { migrate_to_chat_id: migrateTo }),
    }
    const more = Object.keys(parameters).length === 0 ? {} : { parameters }
    return { ok: false, error_code: code, description: message, ...more }
  }
}

export const badRequest = (what: string): Refusal => new Refusal(400, `Bad Request: ${what}`)
