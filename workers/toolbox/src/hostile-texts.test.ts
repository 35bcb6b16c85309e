import { hostileTexts, readToTheEnd } from '@agentos/testing'
import { it } from 'vitest'
import { isText } from './web/body.ts'
import { htmlToText } from './web/html-text.ts'

const page = new URL('https://example.com/')

function read(text: string): void {
  htmlToText(text, page)
  isText(text)
}

it('a page is read to the end, whatever it repeats', () => {
  for (const [name, text] of hostileTexts(150_000, ['', '<pre>', '<a ', '<title>', '<p style="display']))
    readToTheEnd(read, name, text)
})
