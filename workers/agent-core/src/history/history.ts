import { sessionGet } from '@agentos/contracts/memory'
import type { Message } from '@agentos/contracts/message'
import { type HandlerContext, InvocationError } from '@agentos/sdk'
import { wellFormed } from '../transcript.ts'
import { fitted } from './cut.ts'
import { tokensIn, tokensOf } from './token-estimate.ts'

/** Newest messages that are read: the longest turn, of 50 rounds, is among them whole. */
const MOST_READ = 300
/** What a request holds of the conversation before its question, in estimated tokens. */
const HISTORY_TOKENS = 32_000
/** Of a model's context for prompt, functions and conversation; the rest is for the answer and for what we underestimate. */
const USABLE = 0.6
/** No conversation is shortened below this. */
const LEAST_TOKENS = 500

/**
 * The conversation so far as a model may see it: whole where it is short, else cut at its turns, with a note of what is
 * left out. `summary` stands for what was compacted.
 */
export async function readHistory(
  ctx: HandlerContext,
  agentId: string,
  sessionId: string,
): Promise<{ messages: Message[]; summary: string | undefined }> {
  const session = await ctx.call(sessionGet, { agentId, sessionId, limit: MOST_READ })
  const archived = Math.max(0, ...session.archive.map(({ through }) => through))
  const earlier = Math.max(0, (session.messages[0]?.sequence ?? 1) - 1 - archived)
  const messages = wellFormed(session.messages.map(({ role, content }) => ({ role, content })))
  return { messages: fitted(messages, HISTORY_TOKENS, { earlier }), summary: session.summary?.content }
}

/**
 * What to ask instead where a model refused the conversation as too long: within the context that the refusal names, or
 * a third of what was sent. Undefined where the error is another one, or nothing can be left out any more.
 */
export function afterOverflow(
  error: unknown,
  messages: readonly Message[],
  { system, tools }: { system: string; tools: readonly object[] },
): Message[] | undefined {
  if (!(error instanceof InvocationError) || error.code !== 'context_overflow') return undefined
  const sent = tokensOf(...messages)
  const fixed = tokensIn(system) + tokensIn(JSON.stringify(tools))
  const context = contextIn(error.reason)
  const room = context === undefined ? (fixed + sent) / 3 - fixed : context * USABLE - fixed
  // Whatever we estimate, it was too long.
  const shorter = fitted(messages, Math.max(LEAST_TOKENS, Math.min(room, sent / 2)), { running: true })
  return tokensOf(...shorter) < sent ? shorter : undefined
}

/** Providers name the context and what was asked for; the least of their numbers is no more than the context. */
function contextIn(reason: string): number | undefined {
  const numbers = [...reason.matchAll(/(?<![\w.,:/-])\d[\d,]*(?![\w/-]|\.\d)/g)]
    .map(([digits]) => Number(digits.replaceAll(',', '')))
    .filter((number) => number >= 1_000)
  return numbers.length > 0 ? Math.min(...numbers) : undefined
}
