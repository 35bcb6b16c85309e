import type { Usage } from '@agentos/contracts/llm-router'

/** No request has so many tokens; a count above it is a mistake. */
const MOST = 1_000_000_000

/** What a provider counted, as far as it can be believed; each is a whole number that is not negative. */
export interface Counts {
  /** All of the input, with what came from the cache and what went there, unless it leaves that out. */
  input?: number
  /** 1 where the input leaves out the cache. A later piece need not name the cache again. */
  leavesOutCache?: number
  output?: number
  total?: number
  cached?: number
  cacheWrite?: number
  reasoning?: number
}

type Raw = Record<string, unknown>

/** Reads the counts of any API: servers that speak one format use the names of another. */
export function countsOf(usage: unknown): Counts {
  if (typeof usage !== 'object' || usage === null) return {}
  const raw = usage as Raw
  const inputDetails = (raw.prompt_tokens_details ?? raw.input_tokens_details ?? {}) as Raw
  const outputDetails = (raw.completion_tokens_details ?? raw.output_tokens_details ?? {}) as Raw
  const cached = most(
    inputDetails.cached_tokens,
    raw.cache_read_input_tokens,
    raw.prompt_cache_hit_tokens,
    raw.cached_tokens,
    raw.cachedContentTokenCount,
    raw.cacheReadInputTokens,
  )
  const cacheWrite = most(raw.cache_creation_input_tokens, inputDetails.cache_write_tokens, raw.cacheWriteInputTokens)
  const reasoning = most(outputDetails.reasoning_tokens, raw.thoughtsTokenCount)
  const total = most(raw.total_tokens, raw.totalTokenCount, raw.totalTokens)
  return withoutUnknown({
    input: inputOf(raw),
    leavesOutCache: leavesOutCache(raw) ? 1 : undefined,
    output: outputOf(raw, reasoning, total),
    total,
    cached,
    cacheWrite,
    reasoning,
  })
}

/** Of counts that come in pieces, or again and again: the later ones hold, where they say something. */
export function merged(before: Counts, later: Counts): Counts {
  const said = Object.entries(later).filter(([name, count]) => count > 0 || !(name in before))
  return { ...before, ...Object.fromEntries(said) }
}

/** All of the input that is counted so far. */
export function inputCount({ input, cached = 0, cacheWrite = 0, leavesOutCache }: Counts): number | undefined {
  return (leavesOutCache && input !== undefined ? input + cached + cacheWrite : input) || undefined
}

/**
 * The usage of an answer. A request has input, and an answer that holds something has output: where a count is missing or
 * says otherwise, the estimate stands for it, and the usage is marked.
 */
export function usageOf(counts: Counts, estimated: { input: () => number; output: number }): Usage {
  const { total = 0, cached = 0, cacheWrite = 0, reasoning = 0 } = counts
  const hasOutput = estimated.output > 0
  let input = inputCount(counts)
  let output = counts.output === 0 && hasOutput ? undefined : counts.output
  // What both together leave to one of them is known.
  if (input === undefined && output !== undefined && total > output) input = total - output
  else if (input !== undefined && output === undefined && total > input) output = total - input
  else if (output === undefined && !hasOutput && Object.keys(counts).length > 0) output = reasoning
  const isEstimated = input === undefined || output === undefined
  input ??= Math.max(estimated.input(), cached + cacheWrite)
  output ??= Math.max(estimated.output, reasoning)
  // Only a count that leaves them out can be smaller than what it should hold.
  if (cached + cacheWrite > input) input += cached + cacheWrite
  // What a total has above its parts was written, as far as anybody can tell: nothing is booked too low.
  output = Math.max(output, total - input)
  return {
    input,
    output,
    total: input + output,
    ...(cached > 0 ? { cached } : {}),
    ...(cacheWrite > 0 ? { cacheWrite } : {}),
    ...(reasoning > 0 ? { reasoning: Math.min(reasoning, output) } : {}),
    ...(isEstimated ? { estimated: true } : {}),
  }
}

function inputOf(raw: Raw): number | undefined {
  const whole = most(raw.prompt_tokens, raw.promptTokenCount, raw.prompt_eval_count)
  if (whole) return whole + (count(raw.toolUsePromptTokenCount) ?? 0)
  return most(raw.input_tokens, raw.inputTokens)
}

/** Anthropic's, and those of its likes, do; they are told by their names. */
function leavesOutCache(raw: Raw): boolean {
  if (most(raw.prompt_tokens, raw.promptTokenCount, raw.prompt_eval_count)) return false
  return [raw.cache_read_input_tokens, raw.cache_creation_input_tokens, raw.cacheReadInputTokens].some(count)
}

function outputOf(raw: Raw, reasoning: number | undefined, total: number | undefined): number | undefined {
  const candidates = count(raw.candidatesTokenCount)
  if (candidates !== undefined) return candidates + (reasoning ?? 0)
  const output = most(raw.completion_tokens, raw.output_tokens, raw.outputTokens, raw.eval_count)
  // Some count what was thought beside the output; then the total holds both, or the output could not hold it.
  if (output === undefined || !reasoning) return output
  const isBeside = reasoning > output || total === (inputOf(raw) ?? 0) + output + reasoning
  return isBeside ? output + reasoning : output
}

function most(...values: unknown[]): number | undefined {
  const counts = values.flatMap((value) => count(value) ?? [])
  return counts.length === 0 ? undefined : Math.max(...counts)
}

/** A fraction counts as begun; text counts where it is a number. */
function count(value: unknown): number | undefined {
  const isNumeric = typeof value === 'number' || (typeof value === 'string' && /^\d+(\.\d+)?$/.test(value))
  const number = isNumeric ? Math.ceil(Number(value)) : Number.NaN
  return number >= 0 && number <= MOST ? number : undefined
}

function withoutUnknown(counts: { [K in keyof Counts]: number | undefined }): Counts {
  return Object.fromEntries(Object.entries(counts).filter(([, value]) => value !== undefined))
}
