import { evaluateTokens, type Token, Unparsable } from './expression.ts'
import { parseRational, type Rational, show } from './rational.ts'
import { toNumber } from './rounded.ts'

export interface Value {
  /** Decimal digits; all of them where `exact`, else rounded to twelve places, or a small number with its exponent. */
  text: string
  /** The nearest double; undefined where it is out of a double's range. */
  number: number | undefined
  /** Whether `text` is the value itself and no rounding. */
  exact: boolean
}

const NUMBER = /(?:\d+(?:_\d+)*(?:\.\d+)?|\.\d+)(?:e[+-]?\d{1,3})?/y
const NAME = /[a-zπ][a-z0-9]*/y
const SYMBOLS = new Map<string, string>([
  ...['+', '-', '×', '÷', '^', '!', '%', '(', ')', ','].map((symbol): [string, string] => [symbol, symbol]),
  ['**', '^'],
  ['*', '×'],
  ['·', '×'],
  ['/', '÷'],
  ['−', '-'],
])

/**
 * Works out an expression: `+ - * / ^ ! %`, `mod`, parentheses, functions and constants. Exact as long as no function
 * rounds. Throws `Unparsable` or `NotANumber`.
 */
export function evaluate(expression: string): Value {
  const value = evaluateTokens(tokenize(expression.toLowerCase()))
  const shown = show(value)
  const rounded = shown.startsWith('≈')
  const number = numberOf(value)
  // Twelve places say little of a small number.
  const small = rounded && number !== undefined && Math.abs(number) < 0.001
  return {
    text: small ? String(number) : rounded ? shown.slice(2) : shown,
    number,
    exact: !rounded && value.approximate !== true,
  }
}

function numberOf(value: Rational): number | undefined {
  try {
    return toNumber(value)
  } catch {
    return undefined
  }
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  let at = 0
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    return pattern.exec(text)?.[0]
  }
  while (at < text.length) {
    const number = match(NUMBER)
    const name = number === undefined ? match(NAME) : undefined
    const two = text.slice(at, at + 2)
    const sign = two === '**' ? two : text[at]!
    const taken = number ?? name ?? sign
    if (number !== undefined) tokens.push({ at, text: number, number: readNumber(number) })
    else if (name === 'mod') tokens.push({ at, text: name, symbol: true })
    else if (name !== undefined) tokens.push({ at, text: name, name: true })
    else if (SYMBOLS.has(sign)) tokens.push({ at, text: SYMBOLS.get(sign)!, symbol: true })
    else if (!/\s/.test(sign)) throw new Unparsable(`"${sign}" means nothing here`, at)
    at += taken.length
  }
  return tokens
}

function readNumber(text: string): Rational {
  const [mantissa = '', exponent = '0'] = text.replaceAll('_', '').split('e')
  const { top, bottom } = parseRational(mantissa.startsWith('.') ? `0${mantissa}` : mantissa)!
  const power = Number(exponent)
  const scale = 10n ** BigInt(Math.abs(power))
  return power < 0 ? { top, bottom: bottom * scale } : { top: top * scale, bottom }
}
