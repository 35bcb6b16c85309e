import { emailDraft, emailSend, fileWrite, httpRequest } from '@agentos/contracts/toolbox'
import { describe, expect, it } from 'vitest'

const mail = { to: 'ada@example.com', subject: 'Hello', text: 'Hello' }
const PLACES = [
  ['the content of a file', fileWrite, { path: 'a.txt' }, 'content'],
  ['the body of a request', httpRequest, { url: 'https://example.com' }, 'body'],
  ['the subject of a mail', emailSend, mail, 'subject'],
  ['the text of a mail', emailDraft, mail, 'text'],
  ['the HTML of a mail', emailDraft, mail, 'html'],
] as const

describe('half of a surrogate pair', () => {
  it.each(PLACES)('in %s is refused with its place, and a whole pair is taken', (_, contract, rest, field) => {
    const read = (text: string) => contract.input().safeParse({ ...rest, [field]: text })
    expect(read('a \u{1f600} face')).toMatchObject({ success: true, data: { [field]: 'a \u{1f600} face' } })
    for (const half of ['\ud83d', '\ude00']) {
      const { error } = read(`a \u{1f600} ${half} face`)
      expect(error?.issues).toMatchObject([
        { path: [field], message: expect.stringContaining(`(\\u${half.charCodeAt(0).toString(16)}) at offset 5`) },
      ])
    }
  })
})
