import type { StopReason } from '@agentos/contracts/llm-router'

/** The words of all APIs, since servers that speak one use those of another. */
const WORDS: Record<Exclude<StopReason, 'other' | 'budget_exceeded'>, readonly string[]> = {
  stop: ['stop', 'end_turn', 'stop_sequence', 'pause_turn', 'completed', 'complete', 'eos', 'eos_token'],
  length: [
    'length',
    'max_tokens',
    'max_output_tokens',
    'max_length',
    // Mistral and Anthropic, where the context is full.
    'model_length',
    'model_context_window_exceeded',
  ],
  tool_calls: ['tool_calls', 'tool_call', 'tool_use', 'function_call'],
  content_filter: [
    'content_filter',
    'content_filtered',
    'refusal',
    'safety',
    'recitation',
    'blocklist',
    'prohibited_content',
    'spii',
    'image_safety',
    'image_prohibited_content',
    'guardrail_intervened',
    // Zhipu.
    'sensitive',
  ],
  interrupted: [
    // DeepSeek.
    'insufficient_system_resource',
    // vLLM and SGLang.
    'abort',
    'aborted',
    'cancelled',
    'canceled',
    'error',
    'network_error',
    'timeout',
    // Gemini: the model meant to call something, and it could not be read.
    'malformed_function_call',
    'malformed_response',
    'unexpected_tool_call',
  ],
}

const REASONS = new Map(
  Object.entries(WORDS).flatMap(([reason, words]) => words.map((word) => [word, reason as StopReason] as const)),
)

/** Why a model stopped, from its provider's word; `other` where that is not known. */
export function stopReasonOf(word: string): StopReason {
  return REASONS.get(word.toLowerCase()) ?? 'other'
}
