import { hostileTexts, readToTheEnd } from '@agentos/testing'
import { it } from 'vitest'
import { fromResponse } from './upstream-error.ts'

function fail(message: string): void {
  const choice = { provider: 'a', model: 'b' } as Parameters<typeof fromResponse>[0]
  fromResponse(choice, 400, { 'retry-after': message }, JSON.stringify({ error: { message } }), [])
}

it('an error of a provider is read, whatever it repeats', () => {
  for (const [name, text] of hostileTexts(100_000, ['', 'key-'])) readToTheEnd(fail, name, text)
})
