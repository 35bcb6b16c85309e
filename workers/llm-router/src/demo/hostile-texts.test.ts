import { hostileTexts, readToTheEnd } from '@agentos/testing'
import { it } from 'vitest'
import { replyByRules } from './rules.ts'

const BEGINNINGS = [
  '',
  'what do you know about ',
  'remember that ',
  'call a::b ',
  'describe ',
  'list functions ',
  'list functions about ',
  'list tools that tools ',
  'what is 1',
]
const tools = ['memory::search', 'memory::store', 'agent::find_functions'].map((id) => ({
  id,
  description: '',
  inputSchema: {},
}))

function reply(content: string): void {
  replyByRules({ messages: [{ role: 'user', content }], tools })
}

it('the rules answer every text, whatever it repeats', () => {
  for (const [name, text] of hostileTexts(150_000, BEGINNINGS)) readToTheEnd(reply, name, text)
})
