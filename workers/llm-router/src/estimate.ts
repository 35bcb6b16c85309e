import type { CompletionInput, Part } from '@agentos/contracts/llm-router'

/** Providers bill between 250 and 1,600 tokens for an image of the size that they scale to. */
const IMAGE_TOKENS = 1_600
/** Roles, separators and what else a provider's template adds. */
const MESSAGE_TOKENS = 8

/**
 * Tokens that a request's input may have, for a reservation: rather too many than too few. Text counts a token for
 * three bytes of ASCII (English has about four to a token, code and JSON three) and one for two bytes of anything
 * else (a Chinese character of three bytes is one token or one and a half). Only settling knows the true number.
 */
export function estimateInput({ messages, system, tools, responseFormat }: CompletionInput): number {
  let tokens = textTokens(system ?? '') + MESSAGE_TOKENS
  if (tools?.length) tokens += textTokens(JSON.stringify(tools)) + MESSAGE_TOKENS * tools.length
  if (responseFormat?.schema) tokens += textTokens(JSON.stringify(responseFormat.schema))
  for (const { content } of messages) {
    tokens += MESSAGE_TOKENS
    if (typeof content === 'string') tokens += textTokens(content)
    else for (const part of content) tokens += partTokens(part)
  }
  return tokens
}

/** Tokens that an answer may have; 0 for one that holds nothing. What a model thought and did not tell is not in it. */
export function estimateOutput(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => {
    return sum + (part.type === 'text' || part.type === 'reasoning' ? textTokens(part.text) : partTokens(part))
  }, 0)
}

function partTokens(part: Part): number {
  if (part.type === 'image') return IMAGE_TOKENS
  if (part.type === 'toolCall') return textTokens(part.id + (part.argumentsText ?? JSON.stringify(part.arguments)))
  if (part.type !== 'toolResult' || typeof part.content === 'string') return textTokens(JSON.stringify(part))
  return part.content.reduce((sum, inner) => sum + partTokens(inner), MESSAGE_TOKENS)
}

function textTokens(text: string): number {
  const bytes = Buffer.byteLength(text)
  // Each letter beyond ASCII has one byte or two more than it has code units.
  const beyond = bytes === text.length ? 0 : Buffer.byteLength(text.replace(/[\u0020-\u007e\s]+/g, ''))
  return Math.ceil((bytes - beyond) / 3 + beyond / 2)
}
