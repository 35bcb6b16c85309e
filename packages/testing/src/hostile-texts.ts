import { runInNewContext } from 'node:vm'

/** Pieces that the expressions of a reader may begin to match at each repetition. */
const PIECES = [
  ...[
    ' ',
    '\t',
    '\n',
    '\u00a0',
    '1',
    'a',
    'é',
    '<',
    '>',
    '?',
    '!',
    '.',
    ',',
    ';',
    ':',
    '%',
    '%41',
    '\\u0041',
    '\\x41',
    '0x41',
    '&#x',
    '&#1',
    '&',
  ],
  ...[
    '(',
    ')',
    '[',
    ']',
    '[a](',
    '{',
    '-',
    '--',
    '=',
    '#',
    '*',
    '**',
    '**a ',
    '_',
    '_a ',
    '~',
    '`',
    '/',
    '//',
    '\\',
    '"',
    "'",
    '|',
    '@',
  ],
  ...[
    'a ',
    'a.',
    '1 ',
    '1,',
    '\r\n',
    '\n ',
    ' \n',
    'eyJ-',
    'sk-',
    'data:;',
    '<a ',
    '<!--',
    '</a',
    '<a b="',
    'http://',
    '![](http://',
  ],
]
/** What no run of pieces ends with: a match that wants the end fails there, late. */
const LAST = ['§', '`\n§']

/**
 * Texts with long runs of one piece, each with several ends at which a match fails late. Behind a `beginning` that an
 * expression wants first, where there is one.
 */
export function* hostileTexts(
  length: number,
  beginnings: readonly string[] = [''],
): Generator<[name: string, text: string]> {
  for (const beginning of beginnings) {
    for (const piece of PIECES) {
      const run = piece.repeat(Math.ceil(length / piece.length))
      for (const last of LAST) yield [JSON.stringify([beginning, piece, last]), `${beginning}${run}${last}`]
    }
  }
}

/** How long one text may take: what grows with the square of the length takes far longer, what grows with the length a thousandth. */
const MOST_MS = 5_000

/** Reads a text, and stops in the middle of an expression that does not come to an end: a test's own time limit cannot. */
export function readToTheEnd(read: (text: string) => unknown, name: string, text: string): void {
  try {
    runInNewContext('read()', { read: () => read(text) }, { timeout: MOST_MS })
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      throw new Error(`${name} × many is read in more than linear time`)
    throw error
  }
}
