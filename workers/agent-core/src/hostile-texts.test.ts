import { hostileTexts, readToTheEnd } from '@agentos/testing'
import { it } from 'vitest'
import { newAgent } from './agent-record.ts'
import { systemPrompt } from './system-prompt.ts'

const agent = newAgent('a', { name: 'Ada' }, 0)

function prompt(text: string): void {
  systemPrompt(agent, { requested: text, caller: text }, [{ content: text, timestamp: 0 }], text)
}

it('a prompt is made of every text, whatever it repeats', () => {
  for (const [name, text] of hostileTexts(200_000, ['', '<'])) readToTheEnd(prompt, name, text)
})
