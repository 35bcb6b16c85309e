import { knownSecrets, redactText, VisibleStream, visibleText } from '@agentos/sdk'
import { it } from 'vitest'
import { hostileTexts, readToTheEnd } from './hostile-texts.ts'

function show(text: string): void {
  redactText(text)
  visibleText(text)
  new VisibleStream().push(text)
  knownSecrets.text(text)
}

it('a text is blanked and made visible, whatever it repeats', () => {
  for (const [name, text] of hostileTexts(150_000, ['', 'secret', '-----BEGIN ', 'bearer']))
    readToTheEnd(show, name, text)
})
