import type { Message } from '@agentos/contracts/message'
import { callsNote, earlierNote, shortened, withNotes, withoutNote, withShortCalls } from './left-out.ts'
import { tokensOf } from './token-estimate.ts'

/** Of the note that tells of the calls of a turn. */
const NOTE_TOKENS = 100

/** A message, or a round: calls with their results. It stays or goes as one. */
interface Block {
  messages: Message[]
  isRound: boolean
  kept: boolean
}

/** A user's message and what came of it; the first may lack its question. */
type Turn = Block[]

export interface CutOptions {
  /** Messages before the first that are known to be left out already. */
  earlier?: number
  /** The last turn is under way: its question is the one to answer. */
  running?: boolean
}

/**
 * The conversation within so many tokens, as far as that can be. What was said goes before what functions answered, the
 * newer before the older; no call is parted from its results. The last question and its answer stay, shortened if need
 * be, and while a turn runs its question as it is, with its last round. What is left out is said.
 */
export function fitted(
  messages: readonly Message[],
  room: number,
  { earlier = 0, running = false }: CutOptions = {},
): Message[] {
  const given = withoutNote(messages)
  const turns = turnsOf(given.messages)
  if (tokensOf(...given.messages) > room) new Cut(turns, room, running).make()
  const first = turns.findIndex((turn) => turn.some(isKept))
  const gone = turns.filter((turn) => !turn.some(isKept)).flatMap(messagesOf)
  const count = earlier + given.earlier + gone.length
  return turns.flatMap((turn, index) => {
    const kept = turn.filter(isKept)
    if (kept.length === 0) return []
    const rounds = turn.filter((block) => block.isRound && !block.kept)
    return withNotes(
      messagesOf(kept),
      index === first && count > 0 ? earlierNote(count, gone) : undefined,
      rounds.length > 0 ? callsNote(messagesOf(rounds)) : undefined,
    )
  })
}

/** Decides which blocks stay. */
class Cut {
  private readonly newestFirst: Turn[]
  private readonly room: number
  /** The turn under way. */
  private readonly current: Turn | undefined
  private used = 0

  constructor(turns: readonly Turn[], room: number, running: boolean) {
    this.newestFirst = turns.toReversed()
    this.room = room
    this.current = running ? this.newestFirst[0] : undefined
    for (const block of turns.flat()) block.kept = false
  }

  make(): void {
    const last = this.newestFirst[0]
    const answered = this.newestFirst.find((turn) => turn !== this.current && turn.some(isAnswer))
    for (const turn of new Set([last, answered])) if (turn) this.keepQuestionAndAnswer(turn)
    this.keepLastRound()
    this.keepTexts(this.room / 2)
    this.keepRounds()
    this.keepTexts(this.room)
  }

  private keep(block: Block): void {
    if (!block.kept) this.used += tokensOf(...block.messages)
    block.kept = true
  }

  private keepQuestionAndAnswer(turn: Turn): void {
    for (const block of [turn[0], turn.findLast(isAnswer)]) {
      if (!block || block.isRound) continue
      const isAsked = turn === this.current && block === turn[0]
      if (!isAsked) block.messages = block.messages.map((message) => shortened(message, this.room / 8))
      this.keep(block)
    }
  }

  /** Without the results of its last calls a model makes them again. */
  private keepLastRound(): void {
    const round = this.current?.findLast(({ isRound }) => isRound)
    if (!round) return
    const [given, ...answered] = round.messages
    const asked = withShortCalls(given!, Math.max(0, this.room - this.used) / 3)
    const results = answered.reduce((sum, { content }) => sum + content.length, 0)
    const each = Math.max(0, this.room - this.used - tokensOf(asked)) / 2 / Math.max(1, results)
    round.messages = [asked, ...answered.map((message) => shortened(message, each))]
    this.keep(round)
  }

  private keepTexts(limit: number): void {
    for (const turn of this.newestFirst) {
      const texts = turn.filter((block) => !block.isRound && !block.kept)
      const note = !turn.some(isKept) && turn.some(({ isRound }) => isRound) ? NOTE_TOKENS : 0
      if (this.used + tokensOf(...messagesOf(texts)) + note > limit) return
      this.used += note
      for (const block of texts) this.keep(block)
    }
  }

  /** Of the turns that stay, from the newest on without a gap. */
  private keepRounds(): void {
    for (const turn of this.newestFirst) {
      if (!turn.some(isKept)) return
      for (const block of turn.toReversed()) {
        if (block.kept || !block.isRound) continue
        if (this.used + tokensOf(...block.messages) > this.room) return
        this.keep(block)
      }
    }
  }
}

function turnsOf(messages: readonly Message[]): Turn[] {
  const turns: Turn[] = []
  for (const message of messages) {
    if (message.role === 'user' || turns.length === 0) turns.push([])
    const turn = turns.at(-1)!
    const block = turn.at(-1)
    if (message.role === 'tool' && block?.isRound) block.messages.push(message)
    else turn.push({ messages: [message], isRound: hasCalls(message), kept: true })
  }
  return turns
}

function hasCalls({ content }: Message): boolean {
  return typeof content !== 'string' && content.some(({ type }) => type === 'toolCall')
}

function isAnswer({ messages, isRound }: Block): boolean {
  return !isRound && messages[0]?.role === 'assistant'
}

function isKept({ kept }: Block): boolean {
  return kept
}

function messagesOf(blocks: readonly Block[]): Message[] {
  return blocks.flatMap(({ messages }) => messages)
}
