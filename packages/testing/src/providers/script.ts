/** What goes wrong with an answer, and where. */
export type Fault =
  /** Nothing is ever sent; the socket stays open. */
  | { kind: 'hang' }
  /** Begins to stream and then stands still. */
  | { kind: 'stall' }
  /** Half of the answer, then the connection is closed. */
  | { kind: 'half' }
  /** Half of the answer, then the connection is reset. */
  | { kind: 'reset' }
  /** An event, or a body, that is not JSON. */
  | { kind: 'bad-json' }
  /** A line of ten million letters. */
  | { kind: 'long-line' }
  /** Status 200, then an error inside of the stream. */
  | { kind: 'stream-error' }
  /** An answer with this status and the error body that the API has for it. */
  | { kind: 'status'; status: number; retryAfterSeconds?: number; type?: string; message?: string }

/** A scripted answer, in no provider's words. */
export interface SimulatedAnswer {
  reasoning?: string
  /** Opaque proof that goes with the reasoning, and that the API wants back with it. */
  signature?: string
  text?: string
  /** `arguments` as text is sent as it stands, valid JSON or not. */
  toolCalls?: { id?: string; name: string; arguments: Record<string, unknown> | string }[]
  stop?: 'stop' | 'length' | 'content_filter'
  /** The reason to stop, in this word instead of the API's own for `stop`. */
  finish?: string | null
  /** Sent as the API's usage, whatever it is; null leaves it out. */
  countedAs?: unknown
  usage?: { input: number; output: number; cached?: number; reasoning?: number }
  fault?: Fault
  /** Sent in this form, whatever the request asked for. */
  form?: 'whole' | 'streamed'
  /** Rewrites the text of the body, which is then sent in one piece. */
  rewritten?: (body: string) => string
  /** Between two streamed events. @default 0 */
  delayMs?: number
  /** Waited for after half of a streamed answer, before a whole one. */
  midway?: () => Promise<unknown>
}

/** Answers in order (the last one again and again), or what a function makes of each request. */
export type Script = SimulatedAnswer | readonly SimulatedAnswer[] | ((request: RecordedRequest) => SimulatedAnswer)

export interface RecordedRequest {
  method: string
  path: string
  headers: Record<string, string | undefined>
  body: Record<string, unknown>
  /** The body as it came. */
  bodyText: string
  /** Counts from 0. */
  index: number
}

export function answerAt(script: Script, request: RecordedRequest): SimulatedAnswer {
  if (typeof script === 'function') return script(request)
  const answers = Array.isArray(script) ? (script as readonly SimulatedAnswer[]) : [script as SimulatedAnswer]
  const answer = answers[Math.min(request.index, answers.length - 1)]
  if (!answer) throw new Error('the script of the simulated provider holds no answer')
  return answer
}

export function usageOf(answer: SimulatedAnswer): { input: number; output: number; cached: number; reasoning: number } {
  return { cached: 0, reasoning: 0, ...(answer.usage ?? { input: 17, output: 5 }) }
}

/** A text in pieces as a model streams it: words with the space before them. */
export function pieces(text: string | undefined): string[] {
  return text === undefined ? [] : (text.match(/\s*\S+|\s+$/g) ?? [])
}

const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => object }

/** For APIs whose calls hold an object: each number in it leaves as it stands in the script. What is no JSON stays text. */
export function argumentsValue(args: Record<string, unknown> | string): unknown {
  if (typeof args !== 'string') return args
  try {
    return JSON.parse(args, (_key: string, value: unknown, context?: { source?: string }) =>
      typeof value === 'number' && context?.source !== undefined ? rawJSON(context.source) : value,
    )
  } catch {
    return args
  }
}

export function argumentsText(args: Record<string, unknown> | string): string {
  return typeof args === 'string' ? args : JSON.stringify(args)
}
