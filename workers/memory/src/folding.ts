/** Letters that Unicode does not take apart, as they are written where a keyboard lacks them (Lucene's ASCII folding). */
const PLAIN = new Map(
  Object.entries({
    ...{ ß: 'ss', æ: 'ae', œ: 'oe', ø: 'o', ł: 'l', đ: 'd', ð: 'd', þ: 'th' },
    ...{ ħ: 'h', ı: 'i', ŋ: 'n', ŧ: 't', ĸ: 'k', ς: 'σ' },
  }),
)
const LETTERS = new RegExp(`[${[...PLAIN.keys()].join('')}]`, 'g')
/**
 * What stands over or under a letter. The vowels of Indic and Thai scripts are marks too, but say as much as letters; so
 * do the voicing marks of kana.
 */
const MARKS =
  /[[\p{M}&&[\p{Script=Inherited}\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Cyrillic}]]--[\u3099\u309a]]+/gv
/** Soft hyphens and the stroke that stretches an Arabic word. */
const INVISIBLE = /[\u00ad\u0640]/g

/** For search alone: lower case, one form of each character, no accents. */
export function fold(text: string): string {
  return text
    .normalize('NFKD')
    .replace(MARKS, '')
    .replace(INVISIBLE, '')
    .replace(/[’ʼ]/g, "'")
    .toLowerCase()
    .replace(LETTERS, (letter) => PLAIN.get(letter)!)
    .normalize('NFC')
}
