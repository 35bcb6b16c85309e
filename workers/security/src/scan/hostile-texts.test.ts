import { hostileTexts, readToTheEnd } from '@agentos/testing'
import { it } from 'vitest'
import { scan } from './scan.ts'

it('a text is scanned to the end, whatever it repeats', () => {
  for (const [name, text] of hostileTexts(100_000)) readToTheEnd((read) => scan(read, 'web'), name, text)
})
