/** What a step asks for, apart from its place in the run. */
export interface StepCall {
  /** `call`, `void` and `enqueue` are calls of functions, `work` the handler's own, `wait` is for a signal. */
  kind: string
  name: string
}

/** One event of a run, as `engine::runs::events` tells it. Times are epoch milliseconds. */
export interface JournalEvent {
  /** Counts from 1; to go on after it, name it as `Last-Event-ID`. */
  eventId: number
  at: number
  type: string
  step?: string
  /** Of a run that was opened again: the steps whose failures count no more. */
  steps?: string[]
  call?: StepCall
  outcome?: { ok: boolean; value?: unknown; error?: { code: string; message: string } }
  attempt?: number
  /** Process that an attempt was handed to. */
  pid?: number
  /** Name of the signal that a step waits for. */
  signal?: string
  /** Name of a signal that came. */
  name?: string
  reason?: string
  answer?: string
  status?: string
  error?: { code: string; message: string; details?: unknown }
  result?: unknown
  input?: unknown
  /** Run whose journal a recorded step was taken over from. */
  from?: string
}

export interface Attempt {
  number: number
  at: number
  pid?: number
}

export interface RunStep {
  key: string
  name: string
  kind: string
  state: 'open' | 'waiting' | 'in_doubt' | 'done' | 'failed'
  startedAt: number
  endedAt?: number
  /** During which attempt it was recorded. */
  attempt?: Attempt
  /** It was recorded by another run, and taken over. */
  copied: boolean
  /** Name of the signal that it waits for, or has waited for. */
  signal?: string
  microUsd?: number
  tokens?: number
  outcome?: unknown
}

export interface RunStory {
  steps: RunStep[]
  attempts: Attempt[]
  input?: unknown
  end?: JournalEvent
}

/** What happened, told by events in order. */
export function storyOf(events: readonly JournalEvent[]): RunStory {
  const steps = new Map<string, RunStep>()
  const story: RunStory = { steps: [], attempts: [] }
  let last = events[0]?.at ?? 0
  for (const event of events) {
    if (event.type === 'started') story.input = event.input
    if (event.type === 'attempt') story.attempts.push(attemptOf(event, story.attempts.length + 1))
    if (event.type === 'finished') story.end = event
    if (event.type === 'signal') reopen(steps, ({ state, signal }) => state === 'waiting' && signal === event.name)
    if (event.type === 'reopened') reopen(steps, ({ key }) => event.steps?.includes(key) === true)
    if (event.step !== undefined) {
      const step = changed(steps.get(event.step), event, story.attempts.at(-1), last)
      if (step) steps.set(event.step, step)
    }
    last = event.at
  }
  story.steps = [...steps.values()]
  return story
}

const attemptOf = ({ at, attempt, pid }: JournalEvent, next: number): Attempt => ({
  number: attempt ?? next,
  at,
  ...(pid === undefined ? {} : { pid }),
})

/** These steps go on. */
function reopen(steps: Map<string, RunStep>, which: (step: RunStep) => boolean): void {
  for (const [key, step] of steps) {
    const { endedAt: _ended, outcome: _failure, ...open } = step
    if (which(step)) steps.set(key, { ...open, state: 'open' })
  }
}

/** The step after one more of its events. `before`: when what came before it was recorded. */
function changed(
  known: RunStep | undefined,
  event: JournalEvent,
  attempt: Attempt | undefined,
  before: number,
): RunStep | undefined {
  const { step: key = '', call, at, type } = event
  if (!known && !call) return undefined
  // Work that only left its result began when what came before it was recorded.
  const startedAt = type === 'result' && event.from === undefined ? before : at
  const step = known ?? { key, name: call!.name, kind: call!.kind, state: 'open' as const, startedAt, copied: false }
  switch (type) {
    case 'intent':
    case 'resumed':
      return { ...step, state: 'open' }
    case 'waiting':
      return { ...step, state: 'waiting', ...(event.signal === undefined ? {} : { signal: event.signal }) }
    case 'parked':
      return { ...step, state: event.reason === 'in_doubt' ? 'in_doubt' : step.state }
    case 'result':
      return { ...step, ...resultOf(event), ...(attempt ? { attempt } : {}), copied: event.from !== undefined }
    default:
      return step
  }
}

function resultOf({ at, outcome }: JournalEvent): Partial<RunStep> {
  const { ok = false, value, error } = outcome ?? {}
  return { state: ok ? 'done' : 'failed', endedAt: at, outcome: ok ? value : error, ...factsOf(value) }
}

/** What a model call says of itself. */
function factsOf(value: unknown): Pick<RunStep, 'microUsd' | 'tokens'> {
  if (typeof value !== 'object' || value === null) return {}
  const { cost, usage } = value as { cost?: { microUsd?: unknown } | null; usage?: { total?: unknown } | null }
  return {
    ...(typeof cost?.microUsd === 'number' ? { microUsd: cost.microUsd } : {}),
    ...(typeof usage?.total === 'number' ? { tokens: usage.total } : {}),
  }
}
