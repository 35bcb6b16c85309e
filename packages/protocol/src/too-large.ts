/** What a number is that no double holds: it is read as infinity, which would be written as `null`. */
export const TOO_LARGE_NUMBER = 'a number that is too large (beyond 1.8e308); send it as text'

/** Without an exponent of three digits it takes more digits in a row than twice this. */
const STRIDE = 100

/** Does a JSON text, whose value this is, hold a number that no double holds? Nearly every text is only looked through once. */
export function holdsTooLarge(json: Buffer, value: unknown): boolean {
  return (hasLongExponent(json) || hasManyDigits(json)) && holdsInfinity(value)
}

/** Is there a number in this value that JSON cannot write? */
export function holdsInfinity(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isFinite(value)
  return typeof value === 'object' && value !== null && Object.values(value).some(holdsInfinity)
}

// Bytes and no pattern: a regular expression takes as long as the parser does.

function hasLongExponent(json: Buffer): boolean {
  for (let at = 1; at < json.length - 3; at++) {
    // e or E
    if ((json[at]! | 0x20) !== 0x65 || !isDigit(json[at - 1])) continue
    const from = json[at + 1] === 0x2b ? at + 2 : at + 1
    if (isDigit(json[from]) && isDigit(json[from + 1]) && isDigit(json[from + 2])) return true
  }
  return false
}

/** May be wrong where it says so, as in a text of digits; never where it does not. */
function hasManyDigits(json: Buffer): boolean {
  for (let at = STRIDE; at < json.length; at += STRIDE) {
    if (isDigit(json[at]) && isDigit(json[at - STRIDE])) return true
  }
  return false
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39
}
