/** Letters of other scripts that look like Latin ones; the usual choice of who wants to pass a filter. */
const confusables = new Map(
  Object.entries({
    // Cyrillic
    а: 'a',
    в: 'b',
    с: 'c',
    ԁ: 'd',
    е: 'e',
    һ: 'h',
    і: 'i',
    ј: 'j',
    к: 'k',
    ӏ: 'l',
    м: 'm',
    н: 'h',
    о: 'o',
    р: 'p',
    ԛ: 'q',
    ѕ: 's',
    т: 't',
    у: 'y',
    ѵ: 'v',
    ԝ: 'w',
    х: 'x',
    // Greek
    α: 'a',
    β: 'b',
    ϲ: 'c',
    ε: 'e',
    η: 'n',
    ι: 'i',
    κ: 'k',
    ν: 'v',
    ο: 'o',
    ρ: 'p',
    σ: 'o',
    τ: 't',
    υ: 'u',
    χ: 'x',
    γ: 'y',
    ω: 'w',
    // Armenian, Latin and signs
    օ: 'o',
    ս: 'u',
    հ: 'h',
    ո: 'n',
    զ: 'q',
    ı: 'i',
    ɑ: 'a',
    ɡ: 'g',
    ɩ: 'i',
    ɪ: 'i',
    ʀ: 'r',
    ɴ: 'n',
    ʟ: 'l',
    ꜱ: 's',
    ø: 'o',
    ł: 'l',
    đ: 'd',
    ß: 'ss',
    '’': "'",
    '‘': "'",
    '“': '"',
    '”': '"',
    '‐': '-',
    '‑': '-',
    '–': '-',
    '—': '-',
  }),
)
const confusable = new RegExp(`[${[...confusables.keys()].join('')}]`, 'gu')

const leet = new Map(Object.entries({ 0: 'o', 1: 'i', 3: 'e', 4: 'a', 5: 's', 7: 't', '@': 'a', $: 's', '!': 'i' }))

/** Characters that are not seen: zero width, soft hyphens, fillers, direction marks, variation selectors. */
const invisibleRanges = [
  '\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f',
  '\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0',
]
const invisible = new RegExp(`[${invisibleRanges.join('')}]`, 'gu')

/** The same text in the forms in which rules look at it. All are lower case. */
export interface Views {
  /** Compatibility forms unified, nothing invisible; other scripts as they are. */
  plain: string
  /** Look-alikes as Latin letters, accents gone, letters set apart joined again. */
  folded: string
  /** The folded text with digits and signs read as letters. */
  leet: string
}

export function viewsOf(text: string): Views {
  const clean = text.normalize('NFKC').replace(invisible, '').toLowerCase()
  const latin = clean
    .replace(confusable, (letter) => confusables.get(letter)!)
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
  const folded = collapse(joinLetters(latin))
  return { plain: collapse(clean), folded, leet: unleet(folded) }
}

/** Invisible characters inside a text: what they may carry or hide. */
export interface Hidden {
  /** Characters with no width that stand between letters. */
  betweenLetters: number
  /** Text written in tag characters, which no font shows. */
  tagText: string
}

export function hiddenIn(text: string): Hidden {
  const betweenLetters =
    text.match(/(?<=\p{Script=Latin})[\u00ad\u200b\u2060-\u2064\ufeff]+(?=\p{Script=Latin})/gu)?.length ?? 0
  let tagText = ''
  // Flags of regions are spelt in tags too, after a black flag.
  for (const letter of text.replace(/\u{1f3f4}[\u{e0020}-\u{e007e}]+\u{e007f}/gu, '')) {
    const code = letter.codePointAt(0)!
    if (code >= 0xe0020 && code <= 0xe007e) tagText += String.fromCharCode(code - 0xe0000)
  }
  return { betweenLetters, tagText }
}

/** Blanks become one, lines stay apart: some rules look at a line's beginning or end. */
function collapse(text: string): string {
  return text.replace(/[^\S\n]+/gu, ' ').replace(/ ?\n[ \n]*/g, '\n')
}

/** `i g n o r e` and `i.g.n.o.r.e` are one word; two blanks part words. */
function joinLetters(text: string): string {
  return text.replace(/(?<![\p{L}\d])\p{L}(?:[ .\-_*]\p{L}){3,}(?![\p{L}\d])/gu, (run) => run.replace(/[ .\-_*]/g, ''))
}

/** Only inside words that have letters too, so that numbers and prices stay what they are. */
function unleet(text: string): string {
  return text.replace(/[a-z0-9@$!]+/g, (word) =>
    /[a-z]/.test(word) ? word.replace(/[013457@$!](?=.)|[013457@$]$/g, (sign) => leet.get(sign)!) : word,
  )
}
