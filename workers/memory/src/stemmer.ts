/**
 * The stem of an English word in lower case. Source: M. F. Porter, "An algorithm for suffix stripping", Program 14
 * (1980), with the author's later departures (bli, logi). Words with other letters than a to z are left alone.
 */
export function stem(word: string): string {
  if (word.length < 3 || !/^[a-z]+$/.test(word)) return word
  let w = word.startsWith('y') ? `Y${word.slice(1)}` : word
  w = plural(w)
  w = pastAndProgressive(w)
  if (/y$/.test(w) && VOWEL_IN_STEM.test(w.slice(0, -1))) w = `${w.slice(0, -1)}i`
  w = replaceSuffix(w, STEP_2, 0)
  w = replaceSuffix(w, STEP_3, 0)
  w = dropSuffix(w)
  w = tidy(w)
  return w.toLowerCase()
}

const C = '[^aeiou]'
const V = '[aeiouy]'
const CC = `${C}[^aeiouy]*`
const VV = `${V}[aeiou]*`
/** The measure of a stem, [C](VC)^m[V], is above 0, equal to 1, above 1. */
const MEASURE_ABOVE_0 = new RegExp(`^(${CC})?${VV}${CC}`)
const MEASURE_1 = new RegExp(`^(${CC})?${VV}${CC}(${VV})?$`)
const MEASURE_ABOVE_1 = new RegExp(`^(${CC})?${VV}${CC}${VV}${CC}`)
const VOWEL_IN_STEM = new RegExp(`^(${CC})?${V}`)
const SHORT = new RegExp(`^${CC}${V}[^aeiouwxy]$`)

const STEP_2: [string, string][] = [
  ['ational', 'ate'],
  ['tional', 'tion'],
  ['enci', 'ence'],
  ['anci', 'ance'],
  ['izer', 'ize'],
  ['bli', 'ble'],
  ['alli', 'al'],
  ['entli', 'ent'],
  ['eli', 'e'],
  ['ousli', 'ous'],
  ['ization', 'ize'],
  ['ation', 'ate'],
  ['ator', 'ate'],
  ['alism', 'al'],
  ['iveness', 'ive'],
  ['fulness', 'ful'],
  ['ousness', 'ous'],
  ['aliti', 'al'],
  ['iviti', 'ive'],
  ['biliti', 'ble'],
  ['logi', 'log'],
]
const STEP_3: [string, string][] = [
  ['icate', 'ic'],
  ['ative', ''],
  ['alize', 'al'],
  ['iciti', 'ic'],
  ['ical', 'ic'],
  ['ful', ''],
  ['ness', ''],
]
const STEP_4 = /^(.+?)(al|ance|ence|er|ic|able|ible|ant|ement|ment|ent|ou|ism|ate|iti|ous|ive|ize)$/
const STEP_4_ION = /^(.+?[st])ion$/

function plural(w: string): string {
  if (/(ss|i)es$/.test(w)) return w.slice(0, -2)
  return /[^s]s$/.test(w) ? w.slice(0, -1) : w
}

function pastAndProgressive(w: string): string {
  if (w.endsWith('eed')) return MEASURE_ABOVE_0.test(w.slice(0, -3)) ? w.slice(0, -1) : w
  const match = /^(.+?)(ed|ing)$/.exec(w)
  if (!match || !VOWEL_IN_STEM.test(match[1]!)) return w
  const base = match[1]!
  if (/(at|bl|iz)$/.test(base)) return `${base}e`
  if (/([^aeiouylsz])\1$/.test(base)) return base.slice(0, -1)
  return SHORT.test(base) ? `${base}e` : base
}

function replaceSuffix(w: string, table: [string, string][], from: number): string {
  let best: [string, string] | undefined
  for (const pair of table) if (w.endsWith(pair[0]) && pair[0].length > (best?.[0].length ?? from)) best = pair
  if (!best) return w
  const base = w.slice(0, -best[0].length)
  return MEASURE_ABOVE_0.test(base) ? base + best[1] : w
}

function dropSuffix(w: string): string {
  const base = STEP_4.exec(w)?.[1] ?? STEP_4_ION.exec(w)?.[1]
  return base !== undefined && MEASURE_ABOVE_1.test(base) ? base : w
}

function tidy(w: string): string {
  let out = w
  if (out.endsWith('e')) {
    const base = out.slice(0, -1)
    if (MEASURE_ABOVE_1.test(base) || (MEASURE_1.test(base) && !SHORT.test(base))) out = base
  }
  return out.endsWith('ll') && MEASURE_ABOVE_1.test(out) ? out.slice(0, -1) : out
}
