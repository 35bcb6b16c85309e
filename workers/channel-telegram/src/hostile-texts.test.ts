import { readMarkdown, splitText } from '@agentos/channel-kit'
import { hostileTexts, readToTheEnd } from '@agentos/testing'
import { it } from 'vitest'
import { readMessage } from './inbound.ts'

const bot = { id: 1, username: 'a_bot' }

function both(text: string): void {
  const from = { id: 2, is_bot: false, first_name: text }
  readMessage({ update_id: 1, message: { message_id: 1, date: 0, chat: { id: 2, type: 'private' }, from, text } }, bot)
  splitText(readMarkdown(text), 4_000)
}

it('what is written and what is answered is read, whatever it repeats', () => {
  for (const [name, text] of hostileTexts(30_000, ['', '# a', '```'])) readToTheEnd(both, name, text)
})
