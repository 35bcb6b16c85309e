import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VisibleStream, visibleLine, visibleText } from './visible-text.ts'

describe('a text that somebody else wrote', () => {
  it.each([
    ['a control sequence', 'a\u001b[2Kb\u009b31mc\u0007', 'a\\u001b[2Kb\\u009b31mc\\u0007'],
    ['a link of a terminal', '\u001b]8;;https://evil.example\u001b\\x', '\\u001b]8;;https://evil.example\\u001b\\x'],
    ['overwriting', 'delete\rkeep\b\b', 'delete\\u000dkeep\\u0008\\u0008'],
    ['a turn of direction', 'a\u202eb\u2066c\u2069d\u200fe\u061cf', 'a\\u202eb\\u2066c\\u2069d\\u200fe\\u061cf'],
    ['no width', 'a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg', 'a\\u200bb\\u200cc\\u200dd\\u2060e\\ufefff\\u00adg'],
    ['hidden letters', 'a\u{e0041}\u{e0042}', 'a\\udb40\\udc41\\udb40\\udc42'],
    ['hidden marks', 'a\ufe01\u{e0101}\u034f\u3164', 'a\\ufe01\\udb40\\udd01\\u034f\\u3164'],
    ['lines of its own', 'a\u2028b\u2029c\u0085d', 'a\\u2028b\\u2029c\\u0085d'],
    ['half a character', 'a\ud83dc\ude00', 'a\\ud83dc\\ude00'],
  ])('shows %s', (_what, text, shown) => {
    expect(visibleText(text)).toBe(shown)
    expect(visibleLine(text)).toBe(shown)
  })

  it.each([
    'Grüße, 日本, שלום, مرحبا, 🙂',
    '👩‍👩‍👧‍👦 👩🏽‍💻 🏳️‍🌈 ❤️ ☎️ 1️⃣ 👨🏿‍🦰',
    'می‌خواهم',
    'क्‍ष श्री‌मान',
    'two\nlines\tand a tab',
    'C:\\users\\u202e',
  ])('stays as it is where it hides nothing: %j', (text) => {
    expect(visibleText(text)).toBe(text)
  })

  it('has no joiner where nothing is joined', () => {
    expect(visibleText('👩\u200d')).toBe('👩\\u200d')
    expect(visibleText('\u200d👩')).toBe('\\u200d👩')
    expect(visibleText('👩\u200d\u200d👧')).toBe('👩\\u200d\\u200d👧')
    expect(visibleText('a\ufe0f 👩\ufe0f\ufe0f 7\ufe0f')).toBe('a\\ufe0f 👩\ufe0f\\ufe0f 7\\ufe0f')
    expect(visibleText('ا\u200ca ا\u200c')).toBe('ا\\u200ca ا\\u200c')
  })

  it('is one line where it has to be, and its line ends are those of this system', () => {
    expect(visibleLine('approved\n✓ by the owner\t!')).toBe('approved\\u000a✓ by the owner\\u0009!')
    expect(visibleText('a\r\nb')).toBe('a\nb')
  })

  /** What decides about what stands beside it, halves of it, and whatever else there is. */
  const unit = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('👩', '❤', '🏽', '\u200d', '\ufe0f') },
    { weight: 3, arbitrary: fc.constantFrom('م', 'न', '\u{1ee00}', '\u17b4', '\u180b', '\u200c', '\u200d') },
    {
      weight: 3,
      arbitrary: fc.constantFrom(...'a7 \n\r\t"\\', '\u001b', '\u202e', '\u20e3', '\ud83d', '\udc69', '\u{e0041}'),
    },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 1 }) },
  )
  const text = fc.array(unit).map((units) => units.join(''))
  /** A text, and how many UTF-16 units each of its pieces has. */
  const cut = fc.record({ whole: text, sizes: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1 }) })

  it('stays the same JSON, and what is visible stays as it is', () => {
    fc.assert(
      fc.property(text, (given) => {
        const json = JSON.stringify({ [given]: [given] }, null, 2)
        expect(JSON.parse(visibleText(json))).toEqual(JSON.parse(json))
        expect(visibleText(visibleText(given))).toBe(visibleText(given))
        expect(visibleLine(given)).not.toMatch(/[\p{Cc}\u202e]/u)
      }),
      { numRuns: 2_000 },
    )
  })

  it.each([
    ['joined emoji', 'hi 👨‍👩‍👧 end'],
    ['a form after a tone of skin', '🏽\ufe0f\u200d❤ end'],
    ['a letter that is not seen', '\u17b4\u200d\u17b5 \u1820\u180b\u200d\u1820 end'],
  ])('is the same in pieces of one unit, and when it is made visible again: %s', (_what, given) => {
    const shown = visibleText(given)
    expect(inPieces(given, [1])).toBe(shown)
    expect(visibleText(shown)).toBe(shown)
    expect(shown).toContain(' end')
  })

  it('is shown in pieces as it is in one, wherever it is cut', () => {
    fc.assert(
      fc.property(cut, ({ whole, sizes }) => {
        expect(inPieces(whole, sizes)).toBe(visibleText(whole))
      }),
      { numRuns: 2_000 },
    )
  })
})

/** What a stream shows of a text that comes in pieces of these sizes, in turns. */
function inPieces(whole: string, sizes: number[]): string {
  const stream = new VisibleStream()
  let shown = ''
  for (let at = 0, turn = 0; at < whole.length; turn += 1) {
    const size = sizes[turn % sizes.length]!
    shown += stream.push(whole.slice(at, at + size))
    at += size
  }
  return shown + stream.end()
}
