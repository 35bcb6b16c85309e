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

/** What is sent beside the conversation. */
interface Around {
  system: string
  tools: readonly object[]
}

/**
 * How much of a conversation that a model refused as too long it may take, in estimated tokens of the whole request:
 * within the context that the refusal names, and half of the conversation at most. Undefined where the error is another.
 */
export function roomAfter(error: unknown, messages: readonly Message[], around: Around): number | undefined {
  if (!(error instanceof InvocationError) || error.code !== 'context_overflow') return undefined
  const { contextTokens } = (error.details ?? {}) as { contextTokens?: unknown }
  const context = typeof contextTokens === 'number' ? contextTokens : contextIn(error.reason)
  // Whatever we estimate, it was too long.
  const half = tokensAround(around) + tokensOf(...messages) / 2
  return context === undefined ? half : Math.min(half, context * USABLE)
}

/** The conversation of a running turn, so that the whole request is within `room`, as far as that can be. */
export function within(messages: readonly Message[], room: number, around: Around): Message[] {
  const left = Math.max(LEAST_TOKENS, room - tokensAround(around))
  return tokensOf(...messages) > left ? fitted(messages, left, { running: true }) : [...messages]
}

function tokensAround({ system, tools }: Around): number {
  return tokensIn(system) + tokensIn(JSON.stringify(tools))
}

/** Providers name the context and what was asked for; the least of their numbers is no more than the context. */
function contextIn(reason: string): number | undefined {
  const numbers = [...reason.matchAll(/(?<![\w.,:/-])\d[\d,]*(?![\w/-]|\.\d)/g)]
    .map(([digits]) => Number(digits.replaceAll(',', '')))
    .filter((number) => number >= 1_000)
  return numbers.length > 0 ? Math.min(...numbers) : undefined
}
