/**
 * What is not shown as what it is: control characters, those that turn the direction of text, those of no width (all that
 * Unicode lets a display leave out), line separators and halves of characters.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu

/** Joins two emoji to one, or asks for the colourful form of one. */
const EMOJI_JOINER = '\u200d'
const EMOJI_FORM = '\ufe0f'
const EMOJI_BEFORE = /(?:\p{Extended_Pictographic}\ufe0f?|\p{Emoji_Modifier})$/u
const PICTOGRAPH_BEFORE = /\p{Extended_Pictographic}$/u
const PICTOGRAPH_AFTER = /^\p{Extended_Pictographic}/u
const KEYCAP = /^\u20e3/
/** Scripts that spell with joiners: within their words these are letters like others. */
const SPELT = '\\p{scx=Arab}\\p{scx=Syrc}\\p{scx=Mong}\\p{scx=Deva}\\p{scx=Beng}\\p{scx=Guru}\\p{scx=Gujr}\\p{scx=Orya}'
const SPELT_TOO = '\\p{scx=Taml}\\p{scx=Telu}\\p{scx=Knda}\\p{scx=Mlym}\\p{scx=Sinh}\\p{scx=Khmr}\\p{scx=Mymr}'
/** One that is shown itself: what stands beside a joiner decides about it, the second time too. */
const LETTER = `(?=[\\p{L}\\p{M}])(?!\\p{Default_Ignorable_Code_Point})[${SPELT}${SPELT_TOO}]`
const LETTER_BEFORE = new RegExp(`${LETTER}$`, 'u')
const LETTER_AFTER = new RegExp(`^${LETTER}`, 'u')
/** UTF-16 units to each side that decide about a joiner. */
const REACH = 3
/** The end of a text that is shown one way or the other by what comes next: a line's end, a joiner, half of a character. */
const UNDECIDED = /(?:\r|(?:\u200c|\u200d|\ufe0f)?[\ud800-\udbff]?)$/

/**
 * A text of somebody else's as a person may read it on a terminal, in a chat or on a page: what would act, hide or turn
 * text round is written as `\u202e`. Lines and tabs stay, and so do emoji that are joined from several, and joiners within
 * words of scripts that spell with them; neither can hide a letter or change an order. In JSON the escapes are JSON's own:
 * the value stays the same. What was made visible once stays as it is.
 */
export function visibleText(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replace(UNSEEN, (character, at: number, whole: string) =>
      character === '\n' || character === '\t' || isJoiner(character, at, whole) ? character : escaped(character),
    )
}

/** As `visibleText`, for what has to stay on one line: names, cells, messages. */
export function visibleLine(text: string): string {
  return visibleText(text).replace(/[\n\t]/g, escaped)
}

/** Makes a text visible that comes in pieces, as if it had come as one. */
export class VisibleStream {
  /** What was given out last, and what waits for its other half or its neighbour. */
  private before = ''
  private held = ''

  /** What can be shown of all that has come. */
  push(piece: string): string {
    const whole = this.held + piece
    this.held = UNDECIDED.exec(whole)?.[0] ?? ''
    return this.show(whole.slice(0, whole.length - this.held.length))
  }

  /** The rest, when no more comes. */
  end(): string {
    const rest = this.show(this.held)
    this.before = this.held = ''
    return rest
  }

  private show(text: string): string {
    const shown = visibleText(this.before + text).slice(visibleText(this.before).length)
    this.before = (this.before + text).slice(-2 * REACH)
    return shown
  }
}

/** UTF-16 units as JSON writes them. */
function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}

function isJoiner(character: string, at: number, whole: string): boolean {
  if (character !== EMOJI_JOINER && character !== '\u200c' && character !== EMOJI_FORM) return false
  const before = whole.slice(Math.max(0, at - REACH), at)
  const after = whole.slice(at + 1, at + 1 + REACH)
  if (character === EMOJI_FORM) return PICTOGRAPH_BEFORE.test(before) || KEYCAP.test(after)
  if (LETTER_BEFORE.test(before) && LETTER_AFTER.test(after)) return true
  return character === EMOJI_JOINER && EMOJI_BEFORE.test(before) && PICTOGRAPH_AFTER.test(after)
}
