const SMALL = [
  ...['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten', 'eleven', 'twelve'],
  ...['thirteen', 'fourteen', 'fifteen', 'sixteen', 'seventeen', 'eighteen', 'nineteen'],
]
const TENS = ['twenty', 'thirty', 'forty', 'fifty', 'sixty', 'seventy', 'eighty', 'ninety']
const VALUES = new Map<string, number>([
  ...SMALL.map((word, index): [string, number] => [word, index]),
  ...TENS.map((word, index): [string, number] => [word, 20 + 10 * index]),
])
const SCALES = new Map([
  ['thousand', 1_000],
  ['million', 1_000_000],
])
const WORD = `(?:${[...VALUES.keys(), 'hundred', ...SCALES.keys()].join('|')})`
const PHRASE = new RegExp(`\\b${WORD}(?:[\\s-]+(?:and\\s+)?${WORD})*\\b`, 'g')

/** English number words in a text as digits: `two hundred and five` becomes `205`. */
export function numberWords(text: string): string {
  return text.replace(PHRASE, (phrase) => {
    let total = 0
    let group = 0
    for (const word of phrase.split(/[\s-]+/)) {
      const scale = SCALES.get(word)
      if (scale !== undefined) {
        total += Math.max(1, group) * scale
        group = 0
      } else if (word === 'hundred') group = Math.max(1, group) * 100
      else group += VALUES.get(word) ?? 0
    }
    return String(total + group)
  })
}
