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

  const text = fc.string({
    unit: fc.constantFrom(
      ...'a7 \n\r\t"\\',
      '\u001b',
      '\u202e',
      '\u200c',
      '\u200d',
      '\ufe0f',
      '👩',
      '🏽',
      '\ud83d',
      '\udc69',
      'م',
      'न',
      '\u{e0041}',
    ),
  })

  it('stays the same JSON, and what is visible stays as it is', () => {
    fc.assert(
      fc.property(text, (given) => {
        const json = JSON.stringify({ [given]: [given] }, null, 2)
        expect(JSON.parse(visibleText(json))).toEqual(JSON.parse(json))
        expect(visibleText(visibleText(given))).toBe(visibleText(given))
        expect(visibleLine(given)).not.toMatch(/[\p{Cc}\u202e]/u)
      }),
    )
  })

  it('is shown in pieces as it is in one', () => {
    fc.assert(
      fc.property(fc.array(text), (pieces) => {
        const stream = new VisibleStream()
        const shown = pieces.map((piece) => stream.push(piece)).join('') + stream.end()
        expect(shown).toBe(visibleText(pieces.join('')))
      }),
      { numRuns: 1_000 },
    )
  })
})
