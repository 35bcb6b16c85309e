import { evaluateTokens, type Token, Unparsable } from './expression.ts'
import { numberWords } from './number-words.ts'
import { NotANumber, parseRational, show } from './rational.ts'

export interface Computed {
  /** The expression as it was understood, for example `17 × 23`. */
  expression: string
  /** Undefined where it has no value. */
  value: string | undefined
  /** Why it has none. */
  problem?: string
}

const LONGEST = 400
/** Of a message in whose sentences sums are looked for. */
const LONGEST_MESSAGE = 4_000
const LEAD =
  /^(?:and\s+)?(?:please\s+)?(?:(?:can|could|would)\s+you\s+(?:please\s+)?)?(?:tell\s+me\s+)?(?:what(?:\s+is|['’]?s)?|how\s+much\s+is|calculate|compute|evaluate|solve|tell\s+me)(?:\s+the\s+result\s+of)?\s+/
const TAIL = /\s+(?:is|equals?)$/
/** Where one part of a message ends; not the point or the comma inside of a number. */
const BETWEEN = /(?<=[?!;\n])|(?<=[.,:])\s+/
/** A part that nobody could take for a date, a telephone number or a size. */
const PLAINLY_A_SUM = /[*×^+]|\d\s+(?:times|plus|minus|multiplied|divided|modulo|mod|percent|squared|cubed)\b/
const WORDS: [RegExp, string][] = [
  [/\bto the power of\b|\braised to\b|\*\*/g, ' ^ '],
  [/\bsquared\b/g, ' ^ 2 '],
  [/\bcubed\b/g, ' ^ 3 '],
  [/\bmultiplied by\b|\btimes\b|[*×·]|(?<=\d)\s*x\s*(?=[\d(])/g, ' × '],
  [/\bdivided by\b|\bover\b|[/÷:]/g, ' ÷ '],
  [/\bplus\b|\badded to\b/g, ' + '],
  [/\bminus\b|[−–]/g, ' - '],
  [/\bmodulo\b|\bmod\b/g, ' mod '],
  [/\bpercent of\b|%\s*of\b/g, ' ÷ 100 × '],
]

/**
 * Reads a question as arithmetic and works it out exactly; undefined where it is anything else. Precedence as in
 * school: parentheses, powers, signs, products, sums.
 */
export function compute(question: string): Computed | undefined {
  let text = question.trim().toLowerCase()
  if (text.length > LONGEST) return undefined
  text = text
    .replace(LEAD, '')
    .replace(/[\s?=!.]+$/, '')
    .replace(TAIL, '')
  for (const [word, symbol] of WORDS) text = text.replace(word, symbol)
  const tokens = tokenize(numberWords(text))
  // A number alone, or with a sign, is no question.
  if (!tokens || tokens.filter((token) => 'number' in token).length < 2) return undefined
  const expression = tokens
    .map((token) => token.text)
    .join(' ')
    .replace(/\( /g, '(')
    .replace(/ \)/g, ')')
  try {
    return { expression, value: show(evaluateTokens(tokens)) }
  } catch (error) {
    if (error instanceof NotANumber) return { expression, value: undefined, problem: error.message }
    if (error instanceof Unparsable) return undefined
    throw error
  }
}

/**
 * The sums that are asked for among other sentences ("What is 17 times 23? Reply with just the number."), in order, each
 * once. A part of the message counts where it is a question, asks for a value or is plainly a sum.
 */
export function computeWithin(message: string): Computed[] {
  if (message.length > LONGEST_MESSAGE) return []
  const found = new Map<string, Computed>()
  for (const part of message.split(BETWEEN)) {
    const text = part.trim().toLowerCase()
    if (!LEAD.test(text) && !/[?=]$/.test(text) && !PLAINLY_A_SUM.test(text)) continue
    const computed = compute(text.replace(/[,;:!]+$/, ''))
    if (computed) found.set(computed.expression, computed)
  }
  return [...found.values()]
}

function tokenize(text: string): Token[] | undefined {
  const tokens: Token[] = []
  let rest = text.trim()
  while (rest !== '') {
    const [part] = /^(?:\d[\d,]*(?:\.\d+)?|mod\b|[-+×÷^()])/.exec(rest) ?? []
    if (part === undefined) return undefined
    const at = text.length - rest.length
    const number = parseRational(part)
    if (number) tokens.push({ at, text: part, number })
    else if (/^\d/.test(part)) return undefined
    else tokens.push({ at, text: part, symbol: true })
    rest = rest.slice(part.length).trimStart()
  }
  return tokens
}
