import type { CompletionInput, Usage } from '@agentos/contracts/llm-router'
import type { ModelChoice } from './catalogue.ts'
import { estimateInput, inputBytes } from './estimate.ts'

/** What was learnt is exceeded by this much before a reservation is too small. */
const MARGIN = 1.25
/** Answers that are remembered of a model: the worst of them counts. */
const REMEMBERED = 32
/** Below this, what a provider adds to each request (a prompt of its own) outweighs how it counts the text. */
const SMALL = 1_000
/** Answers shorter than this say nothing about how many bytes a token has. */
const MIN_OUTPUT_BYTES = 64
/** An answer in English has four bytes to a token; a model that was seen to write more to one is not believed. */
const MOST_BYTES_PER_TOKEN = 4
const MAX_MODELS = 1_000

/** How one answer was counted, against what was expected of it. */
interface Lesson {
  /** Tokens that came on top of a small input. */
  overhead: number
  /** Tokens counted for one of the estimate; absent for a small input. */
  input?: number
  /** Tokens counted for one byte of the answer; absent where that cannot be said. */
  output?: number
}

/** Tokens that a request may have, from what is known of how its model counts. */
export interface Bounds {
  input: number
  /** Bytes of an answer that make a token at least. */
  bytesPerToken: number
}

/**
 * How models count, learnt from what their providers counted: no two have the same tokens, and a provider may add a
 * prompt that nobody here sees. Nothing is known of a model at first: then a token is one byte, which no tokenizer that
 * works on bytes exceeds. In memory: a new process learns anew.
 */
export class TokenRatios {
  private readonly lessons = new Map<string, Lesson[]>()

  bounds(model: ModelChoice, input: CompletionInput): Bounds {
    const learnt = this.lessons.get(keyOf(model))
    if (!learnt) return { input: inputBytes(input), bytesPerToken: 1 }
    const overhead = Math.max(...learnt.map((lesson) => lesson.overhead))
    const inputs = learnt.flatMap(({ input: ratio }) => (ratio === undefined ? [] : [ratio]))
    const ratio = inputs.length === 0 ? 1 : Math.max(...inputs)
    const outputs = learnt.flatMap(({ output }) => (output === undefined ? [] : [output]))
    return {
      input: Math.ceil((estimateInput(input) * ratio + overhead) * MARGIN),
      bytesPerToken: outputs.length === 0 ? 1 : Math.min(MOST_BYTES_PER_TOKEN, 1 / (Math.max(...outputs) * MARGIN)),
    }
  }

  /** What the provider counted; `outputBytes` are those of the answer, where they were seen. */
  learn(
    model: ModelChoice,
    input: CompletionInput,
    counted: Pick<Usage, 'input'> & Partial<Usage>,
    outputBytes = 0,
  ): void {
    const estimate = estimateInput(input)
    const isSmall = estimate < SMALL
    const written = (counted.output ?? 0) - (counted.reasoning ?? 0)
    const key = keyOf(model)
    const before = this.lessons.get(key) ?? []
    if (before.length === 0 && this.lessons.size >= MAX_MODELS) this.lessons.clear()
    const lesson: Lesson = {
      overhead: isSmall ? Math.max(0, counted.input - estimate) : 0,
      ...(isSmall ? {} : { input: counted.input / estimate }),
      ...(outputBytes < MIN_OUTPUT_BYTES || written <= 0 ? {} : { output: written / outputBytes }),
    }
    this.lessons.set(key, [...before, lesson].slice(-REMEMBERED))
  }
}

function keyOf({ provider, model }: ModelChoice): string {
  return `${provider}/${model}`
}
