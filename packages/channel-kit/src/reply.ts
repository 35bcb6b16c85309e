import { VisibleStream } from '@agentos/sdk'
import { readMarkdown } from './markdown.ts'
import type { Outbox } from './outbox.ts'
import type { Button, Content } from './outbox-entry.ts'
import { plain, type RichText } from './rich-text.ts'
import { splitText } from './split.ts'
import type { Answer } from './turns.ts'
import { words } from './words.ts'

export interface ReplyTarget {
  /** Its messages are the outbox entries `<id>:0`, `<id>:1`, …: the same after a restart. */
  id: string
  conversation: string
  replyTo?: string | undefined
}

/** Writes an answer into the outbox: while it comes in, where the channel shows that, and whole. */
export class Reply {
  private readonly outbox: Outbox
  private readonly target: ReplyTarget
  /** UTF-16 units of one message. */
  private readonly limit: number
  /** Between two looks at an answer that comes in, in milliseconds; `undefined` shows only whole ones. */
  private readonly everyMs: number | undefined
  private text = ''
  /** As much of it as can be shown: not half of a character, nor a joiner whose neighbour is still to come. */
  private shownText = ''
  private visibleStream = new VisibleStream()
  private lastShown = performance.now()
  private shows = false
  private showing: Promise<void> = Promise.resolve()

  constructor(outbox: Outbox, target: ReplyTarget, options: { limit: number; everyMs: number | undefined }) {
    this.outbox = outbox
    this.target = target
    this.limit = options.limit
    this.everyMs = options.everyMs
  }

  /** What has come in so far, of the present round. */
  get partial(): string {
    return this.text
  }

  /** Some of it can be read in the conversation already. */
  get visible(): boolean {
    return this.shows
  }

  add(delta: string): void {
    this.text += delta
    this.shownText += this.visibleStream.push(delta)
    const now = performance.now()
    if (this.everyMs === undefined || this.shownText.trim() === '' || now - this.lastShown < this.everyMs) return
    this.lastShown = now
    this.shows = true
    // Only the beginning: how many messages there will be is known at the end.
    const [first] = splitText(readMarkdown(this.shownText), this.limit)
    this.showing = this.showing
      .then(() => this.put(0, { rich: first ?? plain(words.noAnswer) }, false))
      // What could not be shown early is shown in the end.
      .catch(() => {})
  }

  /** The agent turns to something else: what it wrote so far was not its answer. */
  begin(): void {
    this.text = this.shownText = ''
    this.visibleStream = new VisibleStream()
  }

  /** On disk when this resolves, to the ids of the entries. */
  async finish({ markdown, buttons }: Answer): Promise<string[]> {
    await this.showing
    const pieces = splitText(readMarkdown(markdown), this.limit)
    if (pieces.length === 0) pieces.push(plain(words.noAnswer))
    for (const [index, rich] of pieces.entries()) {
      await this.put(index, content(rich, index === pieces.length - 1 ? buttons : undefined), true)
    }
    return pieces.map((_piece, index) => this.idOf(index))
  }

  private put(index: number, shown: Content, final: boolean): Promise<void> {
    const { conversation, replyTo } = this.target
    const whole = index === 0 && replyTo !== undefined ? { ...shown, replyTo } : shown
    return this.outbox.put(this.idOf(index), conversation, whole, { final })
  }

  private idOf(index: number): string {
    return `${this.target.id}:${index}`
  }
}

function content(rich: RichText, buttons: Button[] | undefined): Content {
  return buttons === undefined ? { rich } : { rich, buttons }
}
