import type { CompletionInput, Part } from '@agentos/contracts/llm-router'

/** Providers bill between 250 and 1,600 tokens for an image of the size that they scale to. */
const IMAGE_TOKENS = 1_600
/** Roles, separators and what else a provider's template adds. */
const MESSAGE_TOKENS = 8

/**
 * Tokens that a request's input has, as far as its text tells: three lower-case letters or blanks to a token (English has
 * about four, code and JSON three), two bytes of letters beyond ASCII (a Chinese character of three bytes is one token or
 * one and a half), two signs (`":` is one), and one digit or capital: those of hashes and base64 hardly share a token.
 */
export function estimateInput(input: CompletionInput): number {
  return inputTokens(input, textTokens)
}

/** What no tokenizer that works on bytes exceeds: a token for each byte. */
export function inputBytes(input: CompletionInput): number {
  return inputTokens(input, (text) => Buffer.byteLength(text))
}

function inputTokens({ messages, system, tools, responseFormat }: CompletionInput, count: Count): number {
  let tokens = count(system ?? '') + MESSAGE_TOKENS
  if (tools?.length) tokens += count(JSON.stringify(tools)) + MESSAGE_TOKENS * tools.length
  if (responseFormat?.schema) tokens += count(JSON.stringify(responseFormat.schema))
  for (const { content } of messages) {
    tokens += MESSAGE_TOKENS
    if (typeof content === 'string') tokens += count(content)
    else for (const part of content) tokens += partTokens(part, count)
  }
  return tokens
}

/** Tokens that an answer may have; 0 for one that holds nothing. What a model thought and did not tell is not in it. */
export function estimateOutput(parts: readonly Part[]): number {
  return parts.reduce((sum, part) => {
    const isText = part.type === 'text' || part.type === 'reasoning'
    return sum + (isText ? textTokens(part.text) : partTokens(part, textTokens))
  }, 0)
}

/** Counts the tokens of a text. */
type Count = (text: string) => number

function partTokens(part: Part, count: Count): number {
  if (part.type === 'image') return IMAGE_TOKENS
  if (part.type === 'toolCall') return count(part.id + (part.argumentsText ?? JSON.stringify(part.arguments)))
  if (part.type !== 'toolResult' || typeof part.content === 'string') return count(JSON.stringify(part))
  return part.content.reduce((sum, inner) => sum + partTokens(inner, count), MESSAGE_TOKENS)
}

function isDigitOrCapital(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a)
}

const LETTER = /\p{L}/u

function textTokens(text: string): number {
  let cheap = 0
  let dear = 0
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if ((code >= 0x61 && code <= 0x7a) || code === 0x20 || code === 0x0a) cheap += 1
    else if (code < 0x80) dear += isDigitOrCapital(code) ? 1 : 0.5
    else {
      const bytes = code < 0x800 ? 2 : code >= 0xd800 && code <= 0xdfff ? 2 : 3
      dear += LETTER.test(text[at]!) ? bytes / 2 : bytes
    }
  }
  return Math.ceil(cheap / 3 + dear)
}
