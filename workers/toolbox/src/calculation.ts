import { evaluate, NotANumber, Unparsable } from '@agentos/arithmetic'
import type { calculate } from '@agentos/contracts/toolbox'
import { AgentError, type OutputOf } from '@agentos/sdk'

export function work(expression: string): OutputOf<typeof calculate> {
  try {
    const { text, number, exact } = evaluate(expression)
    return { expression, value: text, number: number ?? null, exact }
  } catch (error) {
    if (error instanceof Unparsable) {
      throw new AgentError('invalid_input', `expression: ${error.message}`, { details: { at: error.at } })
    }
    if (error instanceof NotANumber) throw new AgentError('invalid_input', `expression: ${error.message}`)
    throw error
  }
}
