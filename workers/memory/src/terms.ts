import { fold } from './folding.ts'
import { stem } from './stemmer.ts'
import { indexedTerms, looseTerms, piecesOf, strictTerms } from './unspaced.ts'

/** The form of the terms, 1 to 999. Raised when a text gives other terms: an index that holds the old ones is made anew. */
export const ANALYSER = 2

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

const WORD = /[\p{L}\p{N}][\p{L}\p{N}\p{M}]*(?:'\p{L}[\p{L}\p{M}]*)*/gu
/** What English puts behind an apostrophe; in other languages the word may be there (l'école). */
const ENDING = /'(?:s|t|d|m|ll|re|ve)$/
const MAX_TERM = 64

/** What a text is indexed by: folded, without small words, stemmed, in order, repetitions kept. */
export function terms(text: string): string[] {
  return analyse(text, indexedTerms)
}

/** What a query is searched by, the exact reading first; the next is for when that finds nothing. */
export function readings(query: string): string[][] {
  const strict = [...new Set(analyse(query, strictTerms))]
  const loose = [...new Set(analyse(query, looseTerms))]
  return strict.join(' ') === loose.join(' ') ? [strict] : [strict, loose]
}

function analyse(text: string, unspacedTerms: (piece: string) => string[]): string[] {
  return (fold(text).match(WORD) ?? []).flatMap((word) => {
    if (STOP_WORDS.has(word)) return []
    return piecesOf(word).flatMap((piece) => (piece.unspaced ? unspacedTerms(piece.text) : stems(piece.text)))
  })
}

function stems(word: string): string[] {
  const parts = word.replace(ENDING, '').split("'")
  // An article before an apostrophe is none of the word.
  const words = parts.length === 1 ? parts : parts.filter((part) => part.length > 1)
  return words.map((part) => stem(part).slice(0, MAX_TERM))
}
