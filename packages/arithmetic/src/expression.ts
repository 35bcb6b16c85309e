import { callFunction, constant, isFunction } from './functions.ts'
import { add, divide, factorial, modulo, multiply, negate, power, type Rational } from './rational.ts'

/** A text that is no expression; `at` is the offset of what does not fit. */
export class Unparsable extends Error {
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

/** `name` is a function or a constant; a `symbol` is an operator, a parenthesis or a comma. */
export type Token = { at: number; text: string } & ({ number: Rational } | { name: true } | { symbol: true })

const MAX_DEPTH = 100

/** Works out tokens by recursive descent. Precedence as in school: parentheses, powers, signs, products, sums. */
export function evaluateTokens(tokens: readonly Token[]): Rational {
  return new Parser(tokens).run()
}

class Parser {
  private readonly tokens: readonly Token[]
  private at = 0
  private depth = 0

  constructor(tokens: readonly Token[]) {
    this.tokens = tokens
  }

  run(): Rational {
    const value = this.expression()
    const rest = this.tokens[this.at]
    if (rest) throw new Unparsable(`an operator is missing before "${rest.text}"`, rest.at)
    return value
  }

  private expression(): Rational {
    this.depth += 1
    if (this.depth > MAX_DEPTH) throw this.unexpected('parentheses are nested too deep')
    let value = this.product()
    for (let sign = this.take('+', '-'); sign; sign = this.take('+', '-')) {
      const next = this.product()
      value = add(value, sign === '+' ? next : negate(next))
    }
    this.depth -= 1
    return value
  }

  private product(): Rational {
    let value = this.signed()
    for (let sign = this.take('×', '÷', 'mod'); sign; sign = this.take('×', '÷', 'mod')) {
      const next = this.signed()
      const operation = sign === '×' ? multiply : sign === '÷' ? divide : modulo
      value = operation(value, next)
    }
    return value
  }

  private signed(): Rational {
    let negative = false
    for (let sign = this.take('+', '-'); sign; sign = this.take('+', '-')) negative = negative !== (sign === '-')
    const value = this.power()
    return negative ? negate(value) : value
  }

  private power(): Rational {
    const powers = [this.postfix()]
    const signs: boolean[] = []
    while (this.take('^')) {
      let negative = false
      for (let sign = this.take('+', '-'); sign; sign = this.take('+', '-')) negative = negative !== (sign === '-')
      signs.push(negative)
      powers.push(this.postfix())
    }
    // From the right: 2 ^ 3 ^ 2 is 2 ^ 9.
    return powers.reduceRight((exponent, base, index) => power(base, signs[index] ? negate(exponent) : exponent))
  }

  private postfix(): Rational {
    let value = this.atom()
    for (let sign = this.take('!', '%'); sign; sign = this.take('!', '%')) {
      value = sign === '!' ? factorial(value) : divide(value, { top: 100n, bottom: 1n })
    }
    return value
  }

  private atom(): Rational {
    const token = this.tokens[this.at]
    if (token && 'number' in token) {
      this.at += 1
      return token.number
    }
    if (token && 'name' in token) {
      this.at += 1
      return this.named(token)
    }
    if (!this.take('(')) throw this.unexpected('a number is missing')
    const value = this.expression()
    if (!this.take(')')) throw this.unexpected('a closing parenthesis is missing')
    return value
  }

  private named(token: Token): Rational {
    const known = constant(token.text)
    if (known) return known
    if (!isFunction(token.text)) throw new Unparsable(`"${token.text}" is no function or constant`, token.at)
    if (!this.take('(')) throw this.unexpected(`${token.text} wants its arguments in parentheses`)
    const values: Rational[] = []
    do values.push(this.expression())
    while (this.take(','))
    if (!this.take(')')) throw this.unexpected('a closing parenthesis is missing')
    return callFunction(token.text, values)
  }

  private take(...wanted: string[]): string | undefined {
    const token = this.tokens[this.at]
    if (!token || !('symbol' in token) || !wanted.includes(token.text)) return undefined
    this.at += 1
    return token.text
  }

  private unexpected(message: string): Unparsable {
    const token = this.tokens[this.at]
    const last = this.tokens.at(-1)
    const end = last ? last.at + last.text.length : 0
    return new Unparsable(token ? `${message} before "${token.text}"` : `${message} at the end`, token?.at ?? end)
  }
}
