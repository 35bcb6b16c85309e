import { expect, test } from 'vitest'
import { withoutSecrets } from './redaction.ts'

// Put together here, so that no scanner takes this file for a leak.
const body = 'a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6'

test.each([
  `my key is sk-ant-api03-${body}`,
  `OPENAI_API_KEY=sk-proj-${body}`,
  `push with ghp_${body}`,
  `Authorization: Bearer ${body}`,
  `postgres://me:${body}@db/x`,
  `remember that the wifi password is ${body}`,
])('the secret of %.24s… is cut out', (text) => {
  expect(withoutSecrets(text)).not.toContain(body.slice(0, 12))
})

test.each([
  'My dog is called Rex and he is 7 years old.',
  'The password policy asks for 12 characters.',
  'The password is written on the wall!',
  'See https://example.com/a/b?c=d and mail bob@example.com',
  'The secret of good bread is time.',
])('%s stays as it is', (text) => {
  expect(withoutSecrets(text)).toBe(text)
})
