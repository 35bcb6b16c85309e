import type { Message, Part } from '@agentos/contracts/message'

/** Providers bill between 250 and 1,600 tokens for an image of the size that they scale to. */
const IMAGE_TOKENS = 1_600
/** Roles, separators and what else a provider's template adds. */
const MESSAGE_TOKENS = 8
/** English has four bytes to a token, code, JSON and Chinese about three. */
const BYTES_PER_TOKEN = 3

/** Rather too many than too few; only the provider knows the true number. */
export function tokensIn(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / BYTES_PER_TOKEN)
}

export function tokensOf(...messages: readonly Pick<Message, 'content'>[]): number {
  return messages.reduce((sum, { content }) => sum + MESSAGE_TOKENS + tokensOfContent(content), 0)
}

function tokensOfContent(content: string | readonly Part[]): number {
  return typeof content === 'string' ? tokensIn(content) : content.reduce((sum, part) => sum + tokensOfPart(part), 0)
}

function tokensOfPart(part: Part): number {
  if (part.type === 'image') return IMAGE_TOKENS
  if (part.type === 'toolResult') return MESSAGE_TOKENS + tokensOfContent(part.content)
  return tokensIn(JSON.stringify(part))
}

/** How many characters of a text have so many tokens. */
export function charactersIn(text: string, tokens: number): number {
  return Math.floor((text.length * tokens) / Math.max(1, tokensIn(text)))
}
