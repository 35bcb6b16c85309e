/** What the Bot API answers instead of a result. */
export class Refusal extends Error {
  readonly code: number
  readonly retryAfter: number | undefined

  constructor(code: number, description: string, retryAfter?: number) {
    super(description)
    this.code = code
    this.retryAfter = retryAfter
  }

  body(): object {
    const { code, message, retryAfter } = this
    const parameters = retryAfter === undefined ? {} : { parameters: { retry_after: retryAfter } }
    return { ok: false, error_code: code, description: message, ...parameters }
  }
}

export const badRequest = (what: string): Refusal => new Refusal(400, `Bad Request: ${what}`)
