import type { Agent, chat } from '@agentos/contracts/agent-core'
import type { ParsedInputOf } from '@agentos/sdk'

type ChatInput = ParsedInputOf<typeof chat>
type Options = Pick<ChatInput, 'temperature' | 'topP' | 'stop' | 'responseFormat' | 'reasoning' | 'maxOutputTokens'>

/** How each answer of the model should be written, as far as the chat says so, and how long it may be. */
export function answerOptions(input: Options, agent: Pick<Agent, 'model'>) {
  const { temperature, topP, stop, responseFormat, reasoning } = input
  const limits = [input.maxOutputTokens, agent.model?.maxTokens].filter((limit) => typeof limit === 'number')
  const maxTokens = limits.length > 0 ? Math.min(...limits) : undefined
  return present({ maxTokens, temperature, topP, stop, responseFormat, reasoning })
}

function present<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const given = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined)
  return Object.fromEntries(given) as { [K in keyof T]?: NonNullable<T[K]> }
}
