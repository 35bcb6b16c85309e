import { NotANumber, type Rational, rational } from './rational.ts'

/** The nearest double; refused where there is none. */
export function toNumber({ top, bottom }: Rational): number {
  const size = top < 0n ? -top : top
  // Twenty digits are more than a double holds.
  const shift = Math.max(0, 20 + bottom.toString().length - size.toString().length)
  const value = Number(`${(size * 10n ** BigInt(shift)) / bottom}e-${shift}`)
  if (!Number.isFinite(value)) throw new NotANumber('The number is too large for this function.')
  return top < 0n ? -value : value
}

/** A double as the decimal fraction that it is written as; marked, since it stands for a number nearby. */
export function fromNumber(value: number): Rational {
  if (!Number.isFinite(value)) throw new NotANumber('The function has no value there.')
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value))!
  const digits = BigInt(`${sign}${whole}${fraction}`)
  const power = Number(exponent) - fraction.length
  const exact = power < 0 ? rational(digits, 10n ** BigInt(-power)) : rational(digits * 10n ** BigInt(power))
  return { ...exact, approximate: true }
}
