import { visibleLine, visibleText } from '@agentos/protocol'
import { paint } from '../output.ts'

const MARKS = { done: ['green', '✓'], warn: ['yellow', '!'], fail: ['red', '✗'] } as const

/**
 * What the person at the terminal sees of a start: one line that changes while something is under way, one line for
 * each step done, and later one line an event. Without a terminal only whole lines.
 */
export class View {
  private readonly out: NodeJS.WriteStream
  private shown = false

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.out = out
  }

  /** Replaces the line in progress. */
  progress(words: string): void {
    if (!this.out.isTTY) return
    const text = visibleLine(words)
    const width = Math.max(20, this.out.columns || 80) - 4
    this.out.write(
      `\r\u001b[2K  ${paint('dim', text.length > width ? `${text.slice(0, width - 1)}…` : text, this.out)}`,
    )
    this.shown = true
  }

  done(text: string): void {
    this.line(...MARKS.done, text)
  }

  /** Something that went wrong and that is being dealt with. */
  warn(text: string): void {
    this.line(...MARKS.warn, text)
  }

  fail(text: string): void {
    this.line(...MARKS.fail, text)
  }

  event(kind: 'done' | 'warn' | 'fail', text: string): void {
    const now = new Date()
    // The local day, which the form of no locale is needed for.
    const day = [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, '0'))
    const time = `${day.join('-')} ${now.toTimeString().slice(0, 8)}`
    const [colour, mark] = MARKS[kind]
    this.line(colour, mark, text, `${paint('dim', time, this.out)}  `)
  }

  block(text: string): void {
    this.clear()
    this.out.write(`${text}\n`)
  }

  /** In the form of the lines that set-up wrote before: marked on a terminal, plain elsewhere. */
  private line(colour: 'green' | 'yellow' | 'red', mark: string, words: string, time = ''): void {
    this.clear()
    // A reason may be what a process printed last.
    const text = time + visibleText(words)
    if (this.out.isTTY) this.out.write(`  ${paint(colour, mark, this.out)} ${text}\n`)
    else this.out.write(mark === '✓' ? `${text}\n` : `${mark} ${text}\n`)
  }

  private clear(): void {
    if (this.shown) this.out.write('\r\u001b[2K')
    this.shown = false
  }
}
