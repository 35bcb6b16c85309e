import { hostileTexts, readToTheEnd } from '@agentos/testing'
import { it } from 'vitest'
import { withoutSecrets } from './redaction.ts'
import { plainText } from './similarity.ts'
import { readings, terms } from './terms.ts'

it('a memory is kept, whatever it repeats', () => {
  for (const [name, text] of hostileTexts(150_000, ['the password is '])) {
    readToTheEnd((read) => plainText(withoutSecrets(read)), name, text)
  }
})

it('a memory is indexed and looked for, whatever it repeats', () => {
  for (const [name, text] of hostileTexts(25_000)) readToTheEnd((read) => [terms(read), readings(read)], name, text)
})
