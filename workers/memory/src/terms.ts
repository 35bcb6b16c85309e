import { stem } from './stemmer.ts'

/** Words that say nothing about what a text is about; they are neither stored in the index nor searched. */
const STOP_WORDS = new Set(
  `a about above actually after again all also am an and any anybody anyone anything are aren't as at be because been
  before being below between both but by can can't cannot could couldn't did didn't do does doesn't doing don't down
  during each else ever everything few for from further get give had hadn't has hasn't have haven't having he he's her
  here hers herself him himself his how i i'd i'll i'm i've if in into is isn't it it's its itself just know let let's
  many may me might more most much must my myself no nor not now of off on once only or other our ours ourselves
  out over own please recall remember said same say shall she she's should shouldn't so some something such tell than
  that that's the their theirs them themselves then there there's these they they're this those through to told too
  under until up upon us very was wasn't we we're were weren't what what's when where where's which while who who's
  whom whose why will with won't would wouldn't you you'd you'll you're you've your yours yourself yourselves`.split(
    /\s+/,
  ),
)

/** Scripts that put no spaces between words: searched by pairs of characters. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}]/u
const WORD = /[\p{L}\p{N}]+(?:'\p{L}+)*/gu
const MAX_TERM = 64

/** Lower case, one form of each character, no accents. */
export function fold(text: string): string {
  return text
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .replace(/[’ʼ]/g, "'")
    .toLowerCase()
    .normalize('NFC')
}

/** All words, folded, in order, small words included. */
export function words(text: string): string[] {
  return fold(text).match(WORD) ?? []
}

/** What a text is indexed and searched by: folded, without small words, stemmed, in order, repetitions kept. */
export function terms(text: string): string[] {
  const found: string[] = []
  for (const word of words(text)) {
    if (STOP_WORDS.has(word)) continue
    if (UNSPACED.test(word)) found.push(...pairs(word))
    else found.push(stem(word.replace(/'.*$/, '')).slice(0, MAX_TERM))
  }
  return found
}

function pairs(word: string): string[] {
  const characters = Array.from(word)
  if (characters.length === 1) return characters
  return characters.slice(1).map((character, i) => characters[i]! + character)
}
