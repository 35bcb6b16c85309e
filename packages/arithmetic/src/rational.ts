/** An exact fraction, so that 0.1 + 0.2 is 0.3 and large products keep their last digits. The denominator is positive. */
export interface Rational {
  top: bigint
  bottom: bigint
  /** A function rounded on the way here. */
  approximate?: true
}

export class NotANumber extends Error {}

/** Largest exponent: beyond it the digits of a result fill no screen, and computing them takes a while. */
const MAX_EXPONENT = 1_000n

/** Bits of the largest number: reducing fractions takes time that grows with the square of their length. */
const MAX_BITS = 20_000n
const LARGEST = 1n << MAX_BITS

export function rational(top: bigint, bottom = 1n): Rational {
  if (bottom === 0n) throw new NotANumber('Nothing can be divided by zero.')
  const [size, below] = [top < 0n ? -top : top, bottom < 0n ? -bottom : bottom]
  if (size > LARGEST || below > LARGEST) throw new NotANumber('The number has too many digits.')
  const divisor = gcd(size, below)
  return { top: top < 0n === bottom < 0n ? size / divisor : -size / divisor, bottom: below / divisor }
}

/** `12`, `1,000.5`; undefined where the text is no number. */
export function parseRational(text: string): Rational | undefined {
  const [, whole, fraction = ''] = /^(\d+)(?:\.(\d+))?$/.exec(text.replace(/,(?=\d{3}\b)/g, '')) ?? []
  if (whole === undefined) return undefined
  return rational(BigInt(whole + fraction), 10n ** BigInt(fraction.length))
}

export const add = (a: Rational, b: Rational) =>
  of(rational(a.top * b.bottom + b.top * a.bottom, a.bottom * b.bottom), a, b)
export const negate = (a: Rational): Rational => ({ ...a, top: -a.top })
export const multiply = (a: Rational, b: Rational) => of(rational(a.top * b.top, a.bottom * b.bottom), a, b)
export const divide = (a: Rational, b: Rational) => of(rational(a.top * b.bottom, a.bottom * b.top), a, b)

/** Below zero where `a` is the smaller one. */
export function compare(a: Rational, b: Rational): number {
  const difference = a.top * b.bottom - b.top * a.bottom
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

/** The remainder with the sign of the divisor. */
export function modulo(a: Rational, b: Rational): Rational {
  const { top, bottom } = divide(a, b)
  const floor = top / bottom - (top < 0n && top % bottom !== 0n ? 1n : 0n)
  return add(a, negate(multiply(b, rational(floor))))
}

export function power(base: Rational, exponent: Rational): Rational {
  if (exponent.bottom !== 1n) throw new NotANumber('Only whole exponents are supported here.')
  const size = exponent.top < 0n ? -exponent.top : exponent.top
  if (size > MAX_EXPONENT) throw new NotANumber(`Exponents go up to ${MAX_EXPONENT}.`)
  // Looked at first: what is too large is not even computed.
  const longest = base.top < 0n ? -base.top : base.top
  const bits = BigInt((longest > base.bottom ? longest : base.bottom).toString(2).length)
  if (longest > 1n && (bits - 1n) * size > MAX_BITS) throw new NotANumber('The number has too many digits.')
  const raised = rational(base.top ** size, base.bottom ** size)
  return of(exponent.top < 0n ? divide(rational(1n), raised) : raised, base, exponent)
}

export function factorial(value: Rational): Rational {
  const n = whole(value, '!')
  if (n < 0 || n > 1_000) throw new NotANumber('A factorial is that of a whole number from 0 to 1000.')
  let product = 1n
  for (let factor = 2n; factor <= n; factor += 1n) product *= factor
  return of(rational(product), value)
}

/** A whole number of moderate size, for `what`. */
export function whole({ top, bottom }: Rational, what: string): number {
  if (bottom !== 1n || top > 1_000_000n || top < -1_000_000n) throw new NotANumber(`${what} wants a whole number.`)
  return Number(top)
}

/** What was computed from rounded numbers is rounded. */
function of(value: Rational, ...from: Rational[]): Rational {
  return from.some(({ approximate }) => approximate) ? { ...value, approximate: true } : value
}

/** Exact where the decimal fraction ends within twelve places, else rounded to them and marked `≈`. */
export function show({ top, bottom }: Rational): string {
  const places = 12n
  const size = top < 0n ? -top : top
  const scaled = size * 10n ** places
  const exact = scaled % bottom === 0n
  const rounded = exact ? scaled / bottom : (scaled + bottom / 2n) / bottom
  const digits = rounded.toString().padStart(Number(places) + 1, '0')
  const fraction = digits.slice(-Number(places)).replace(/0+$/, '')
  const text = digits.slice(0, -Number(places)) + (fraction === '' ? '' : `.${fraction}`)
  return `${exact ? '' : '≈ '}${top < 0n ? '-' : ''}${text}`
}

function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b]
  while (y !== 0n) [x, y] = [y, x % y]
  return x === 0n ? 1n : x
}
