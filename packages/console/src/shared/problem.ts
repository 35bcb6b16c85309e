/** An error of the system as RFC 9457 writes it, with what to do next. */
export interface Problem {
  title: string
  detail: string
  code: string
  next?: string
  status?: number
  trace_id?: string
  /** Facts of this one. */
  details?: unknown
}

/** A request that got a problem for an answer, or none at all. */
export class RequestFailed extends Error {
  readonly problem: Problem

  constructor(problem: Problem, options?: ErrorOptions) {
    super(problem.detail, options)
    this.name = 'RequestFailed'
    this.problem = problem
  }
}

export function problemOf(error: unknown): Problem {
  if (error instanceof RequestFailed) return error.problem
  const detail = error instanceof Error ? error.message : String(error)
  return { title: 'Something in the page failed.', detail, code: 'page', next: 'Load the page again.' }
}

/** Asking again would be answered the same way. */
export function isFinal({ status }: Problem): boolean {
  return status !== undefined && status < 500 && status !== 429
}

/** The engine did not answer: it is gone, or the network to it is. */
export function unreachable(cause: unknown): RequestFailed {
  return new RequestFailed(
    {
      title: 'AgentOS does not answer.',
      detail: cause instanceof Error ? cause.message : String(cause),
      code: 'unreachable',
      next: 'Look at the terminal where it runs; `npm start` starts it again.',
    },
    { cause },
  )
}

/** What the body of a refusal says, however little that is. */
export function refusal(status: number, body: string): RequestFailed {
  const said = parsed(body)
  if (isProblem(said)) return new RequestFailed({ ...said, status })
  return new RequestFailed({ title: `Status ${status}`, detail: body.slice(0, 500), code: 'http', status })
}

export function isProblem(value: unknown): value is Problem {
  return (
    typeof value === 'object' &&
    value !== null &&
    'title' in value &&
    typeof value.title === 'string' &&
    'detail' in value &&
    typeof value.detail === 'string' &&
    'code' in value &&
    typeof value.code === 'string'
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
