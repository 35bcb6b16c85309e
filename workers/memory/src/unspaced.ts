/**
 * Words of scripts that put no spaces between them, or none between a word and its particles. No dictionary: they are
 * indexed by pairs of characters, and by single ones where a character can be a word.
 */

const HAN = /^\p{Script=Han}/u
const HANGUL = /^\p{Script=Hangul}/u
const HIRAGANA = /^\p{Script=Hiragana}/u
const RUN =
  /\p{Script=Han}+|\p{Script=Hiragana}[\p{Script=Hiragana}ー]*|\p{Script=Katakana}[\p{Script=Katakana}ー]*|\p{Script=Hangul}+|[\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]+/gu
/** What connects or asks in Chinese, and says nothing about what a text is about. */
const SMALL_HAN = /什么|什麼|怎么|怎麼|哪里|哪裡|知道|记得|記得|告诉|告訴|[的了是我你您他她它们們吗嗎呢吧]/u
/** Particles at the end of a Korean word. */
const PARTICLE = /(?:에서|에게|한테|으로|부터|까지|처럼|이랑|하고|[은는이가을를에의도와과로만])$/u

/** A word in pieces: those of such a script, and what stands between them. */
export function piecesOf(word: string): { text: string; unspaced: boolean }[] {
  const pieces: { text: string; unspaced: boolean }[] = []
  let at = 0
  for (const { 0: text, index } of word.matchAll(RUN)) {
    if (index > at) pieces.push({ text: word.slice(at, index), unspaced: false })
    pieces.push({ text, unspaced: true })
    at = index + text.length
  }
  if (at < word.length) pieces.push({ text: word.slice(at), unspaced: false })
  return pieces
}

/** What a piece is indexed by. */
export function indexedTerms(piece: string): string[] {
  return contentOf(piece).flatMap((run) => [...(hasWordsOfOne(run) ? Array.from(run) : []), ...pairs(run)])
}

/** What a piece of a query is looked for by: pairs, and a character where it stands alone. */
export function strictTerms(piece: string): string[] {
  return contentOf(piece).flatMap((run) => {
    const word = HANGUL.test(run) ? withoutParticle(run, 2) : run
    return hasWordsOfOne(word) && Array.from(word).length === 1 ? [word] : pairs(word)
  })
}

/** Where the pairs find nothing: the characters of which each can be a word. */
export function looseTerms(piece: string): string[] {
  return contentOf(piece).flatMap((run) => {
    if (HAN.test(run)) return Array.from(run)
    return HANGUL.test(run) ? strictTerms(withoutParticle(run, 1)) : pairs(run)
  })
}

function contentOf(piece: string): string[] {
  if (HAN.test(piece)) return piece.split(SMALL_HAN).filter((run) => run !== '')
  // One letter of hiragana is a particle.
  return HIRAGANA.test(piece) && Array.from(piece).length === 1 ? [] : [piece]
}

function hasWordsOfOne(run: string): boolean {
  return HAN.test(run) || HANGUL.test(run)
}

/** The word, where at least so many syllables are left of it. */
function withoutParticle(word: string, least: number): string {
  const stem = word.replace(PARTICLE, '')
  return stem.length >= least ? stem : word
}

/** All neighbours; of one character alone that itself, unless it is indexed anyway. */
function pairs(run: string): string[] {
  const characters = Array.from(run)
  if (characters.length === 1) return hasWordsOfOne(run) ? [] : characters
  return characters.slice(1).map((character, i) => characters[i]! + character)
}
