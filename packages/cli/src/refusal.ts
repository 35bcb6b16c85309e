/**
 * A problem that the person at the terminal can do something about: printed as designed text, never with a stack.
 * `advice` says what to do, one step a line.
 */
export class Refusal extends Error {
  readonly title: string
  readonly detail: string
  readonly advice: readonly string[]
  /** Stable word for scripts, part of `--json` output. */
  readonly code: string

  constructor(code: string, title: string, detail: string, advice: readonly string[] = [], cause?: unknown) {
    super(`${title}: ${detail}`, cause === undefined ? undefined : { cause })
    this.name = 'Refusal'
    this.code = code
    this.title = title
    this.detail = detail
    this.advice = advice
  }
}

/** What is said of a failed chat whose agent is there since, by the `details` of the failure. */
export function adviceOnNewAgent(details: unknown): string[] {
  const { agentCreated } = (details ?? {}) as { agentCreated?: unknown }
  return agentCreated === true ? ['A new agent was made before it failed: npm run agentos -- call agent::list'] : []
}
