import {
  add,
  compare,
  divide,
  multiply,
  NotANumber,
  negate,
  power,
  type Rational,
  rational,
  whole,
} from './rational.ts'
import { fromNumber, toNumber } from './rounded.ts'

type Implementation = { arguments: [least: number, most: number]; run: (values: Rational[]) => Rational }

const MANY = 100

const FUNCTIONS = new Map<string, Implementation>([
  ['abs', one((x) => (x.top < 0n ? negate(x) : x))],
  ['floor', one((x) => rational(floor(x)))],
  ['ceil', one((x) => rational(-floor(negate(x))))],
  ['trunc', one((x) => rational(x.top / x.bottom))],
  ['sign', one((x) => rational(x.top === 0n ? 0n : x.top < 0n ? -1n : 1n))],
  ['round', { arguments: [1, 2], run: ([x, places = rational(0n)]) => round(x!, whole(places, 'round')) }],
  ['sqrt', one(squareRoot)],
  ['cbrt', rounded(Math.cbrt)],
  ['exp', rounded(Math.exp)],
  ['ln', rounded(Math.log)],
  ['log2', rounded(Math.log2)],
  ['sin', rounded(Math.sin)],
  ['cos', rounded(Math.cos)],
  ['tan', rounded(Math.tan)],
  ['asin', rounded(Math.asin)],
  ['acos', rounded(Math.acos)],
  ['atan', rounded(Math.atan)],
  [
    'log',
    {
      arguments: [1, 2],
      run: ([x, base]) =>
        fromNumber(base ? Math.log(toNumber(x!)) / Math.log(toNumber(base)) : Math.log10(toNumber(x!))),
    },
  ],
  ['pow', { arguments: [2, 2], run: ([x, y]) => raise(x!, y!) }],
  ['min', many((values) => values.reduce((least, value) => (compare(value, least) < 0 ? value : least)))],
  ['max', many((values) => values.reduce((most, value) => (compare(value, most) > 0 ? value : most)))],
  ['sum', many((values) => values.reduce(add))],
  ['mean', many((values) => divide(values.reduce(add), rational(BigInt(values.length))))],
  ['median', many(median)],
])

/** `pi`, `e`, `tau`. */
export function constant(name: string): Rational | undefined {
  if (name === 'pi' || name === 'π') return fromNumber(Math.PI)
  if (name === 'tau') return fromNumber(2 * Math.PI)
  return name === 'e' ? fromNumber(Math.E) : undefined
}

export function isFunction(name: string): boolean {
  return FUNCTIONS.has(name)
}

export function callFunction(name: string, values: Rational[]): Rational {
  const {
    arguments: [least, most],
    run,
  } = FUNCTIONS.get(name)!
  if (values.length < least || values.length > most) {
    const wanted = least === most ? `${least}` : `${least} to ${most}`
    throw new NotANumber(`${name} takes ${wanted} arguments, not ${values.length}.`)
  }
  return run(values)
}

function one(run: (x: Rational) => Rational): Implementation {
  return { arguments: [1, 1], run: ([x]) => run(x!) }
}

function many(run: (values: Rational[]) => Rational): Implementation {
  return { arguments: [1, MANY], run }
}

function rounded(run: (x: number) => number): Implementation {
  return one((x) => fromNumber(run(toNumber(x))))
}

function floor({ top, bottom }: Rational): bigint {
  return top / bottom - (top < 0n && top % bottom !== 0n ? 1n : 0n)
}

/** Half away from zero. */
function round(x: Rational, places: number): Rational {
  if (Math.abs(places) > 100) throw new NotANumber('round takes up to 100 places.')
  const scale = power(rational(10n), rational(BigInt(places)))
  const scaled = multiply(x.top < 0n ? negate(x) : x, scale)
  const result = divide(rational(floor(add(scaled, rational(1n, 2n)))), scale)
  return x.top < 0n ? negate(result) : result
}

function squareRoot(x: Rational): Rational {
  if (x.top < 0n) throw new NotANumber('A negative number has no real square root.')
  const [top, bottom] = [wholeRoot(x.top), wholeRoot(x.bottom)]
  return top !== undefined && bottom !== undefined ? rational(top, bottom) : fromNumber(Math.sqrt(toNumber(x)))
}

/** Newton's method on whole numbers; undefined where the root is not whole. */
function wholeRoot(n: bigint): bigint | undefined {
  if (n < 2n) return n
  let guess = 1n << BigInt((n.toString(2).length + 1) >> 1)
  for (;;) {
    const next = (guess + n / guess) >> 1n
    if (next >= guess) return guess * guess === n ? guess : undefined
    guess = next
  }
}

function raise(x: Rational, y: Rational): Rational {
  return y.bottom === 1n ? power(x, y) : fromNumber(toNumber(x) ** toNumber(y))
}

function median(values: Rational[]): Rational {
  const sorted = values.toSorted(compare)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle]!
  return divide(add(sorted[middle - 1]!, sorted[middle]!), rational(2n))
}
