import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { AgentError, InvocationError, type StateClient } from '@agentos/sdk'
import { persist } from './durable.ts'
import { type Content, isNotice, noticeId, type OutboxEntry, type Resolution } from './outbox-entry.ts'
import type { Pacer } from './pacer.ts'
import { MovedError, SendError, type Transport } from './transport.ts'
import { arrivalQuestion } from './words.ts'

const DAY_MS = 24 * 3_600_000
/** How long entries are kept: those that were sent, and those that somebody may want to look at. */
const KEPT_MS = { sent: 7 * DAY_MS, open: 30 * DAY_MS }
/** A message that could not go out for so long has failed. */
const MAX_WAIT_MS = DAY_MS
const RETRY_MS = { first: 1_000, last: 60_000 }
const PAGE = 500
/** Settled entries that stay in memory. */
const MAX_IDLE = 1_000
/** How long a stop waits for requests under way; what is cut off is in doubt at the next start. */
const STOP_MS = 5_000

export type OutboxState = Pick<StateClient, 'get' | 'set' | 'entries'>

export interface OutboxParts {
  state: OutboxState
  scope: string
  transport: Transport
  pacer: Pacer
  log: { warn: (about: object, message: string) => void }
  /** A conversation has become another one, as the service said when something was sent. */
  onMoved?: (from: string, to: string) => Promise<void>
  now?: () => number
}

/** An entry, and the order in which it is written down. */
interface Live {
  entry: OutboxEntry
  saved: Promise<unknown>
  failures: number
  retryAt: number
  /** An edit was refused while the answer was still being written: the message shows something older than `content`. */
  behind: boolean
}

interface Found {
  live: Live
  /** It was written by this very call. */
  isNew: boolean
}

/**
 * Messages on their way to a service that has no idempotency keys. Each is on disk before it goes out, and again, as
 * `sending`, before its request does; an answer that is lost, by the network or by the end of this process, leaves it
 * `in_doubt`: it is not sent again before somebody says so, and the conversation is asked. Messages of a conversation go
 * out in order; one that has to wait holds up its conversation and no other.
 */
export class Outbox {
  private readonly parts: OutboxParts
  private readonly now: () => number
  private readonly live = new Map<string, Promise<Live | undefined>>()
  private readonly creating = new Set<string>()
  private readonly lanes = new Map<string, { entries: Set<Live>; running: Promise<void> | undefined }>()
  private readonly stopping = new AbortController()
  private lastOrder = 0
  private opened = false

  constructor(parts: OutboxParts) {
    this.parts = parts
    this.now = parts.now ?? Date.now
  }

  /** Takes up what an earlier process left: what waited goes out, what was on its way is in doubt. */
  async open(): Promise<void> {
    const leftBehind: OutboxEntry[] = []
    for await (const entry of this.stored()) {
      this.lastOrder = Math.max(this.lastOrder, entry.order)
      if (entry.state === 'sending') leftBehind.push(entry)
      else if (hasWork(entry)) this.keep(entry)
    }
    // Nothing goes out before all are read: what came first goes first.
    const lives = leftBehind.map((entry) => this.keep(entry))
    for (const live of lives) await this.doubt(live, 'The process ended before the service had answered')
    this.opened = true
    for (const conversation of this.lanes.keys()) this.run(conversation)
  }

  /**
   * Puts a message into the outbox, or changes what it shows: as long as it was not sent it goes out with the new content,
   * after that it is edited; `once` leaves what is there as it is. On disk when this resolves, except a change that is not
   * final.
   */
  async put(
    id: string,
    conversation: string,
    content: Content,
    { final = true, once = false }: { final?: boolean; once?: boolean } = {},
  ): Promise<void> {
    const { live, isNew } = await this.findOrCreate(id, conversation, content, final)
    const at = live.entry.conversation
    // In what the conversation has become there is nothing that it answers.
    if (!isNew && !once) await this.change(live, at === conversation ? content : unanswering(content), final)
    this.run(at)
  }

  async get(id: string): Promise<OutboxEntry | undefined> {
    return (await this.find(id))?.entry
  }

  /** Newest last; all of one state, or all that are not sent. */
  async list(state?: OutboxEntry['state']): Promise<OutboxEntry[]> {
    const entries: OutboxEntry[] = []
    for await (const entry of this.stored()) {
      if (state === undefined ? entry.state !== 'sent' : entry.state === state) entries.push(entry)
    }
    return entries.sort((a, b) => a.order - b.order)
  }

  /** Settles a message that is in doubt or failed. */
  async resolve(id: string, as: Resolution): Promise<OutboxEntry> {
    const live = await this.find(id)
    if (!live) throw new AgentError('not_found', `There is no message ${id} in the outbox`)
    const { entry } = live
    if (entry.state !== 'in_doubt' && entry.state !== 'failed') {
      throw new AgentError('conflict', `The message ${id} is ${entry.state}: there is nothing to settle`)
    }
    Object.assign(entry, { state: as === 'resend' ? 'pending' : 'sent', stale: false, reason: null })
    Object.assign(live, { failures: 0, retryAt: 0 })
    await this.save(live)
    this.enlist(live)
    this.run(entry.conversation)
    return entry
  }

  /** What waits for a conversation goes to the one that it has become, in its order. */
  async move(from: string, to: string): Promise<void> {
    const entries = this.lanes.get(from)?.entries ?? new Set<Live>()
    for (const live of [...entries].filter(({ entry }) => entry.state === 'pending')) {
      entries.delete(live)
      const { entry } = live
      Object.assign(entry, { conversation: to, content: unanswering(entry.content) })
      Object.assign(live, { failures: 0, retryAt: 0 })
      this.enlist(live)
      await this.save(live)
    }
    this.run(to)
  }

  /** Starts nothing more and waits for what is under way, for a bounded time. */
  async stop(): Promise<void> {
    this.stopping.abort()
    const running = [...this.lanes.values()].map((lane) => lane.running)
    await Promise.race([Promise.all(running), delay(STOP_MS, undefined, { ref: false })])
  }

  private async *stored(): AsyncGenerator<OutboxEntry> {
    const { state, scope } = this.parts
    for (let after: string | undefined; ; ) {
      const from = after
      const page = await persist(() =>
        state.entries<OutboxEntry>(scope, { limit: PAGE, ...(from === undefined ? {} : { after: from }) }),
      )
      for (const { value } of page.entries) yield value
      if (page.next === undefined) return
      after = page.next
    }
  }

  /** The entry, from memory or disk. Asked for twice at once it is the same. */
  private find(id: string): Promise<Live | undefined> {
    const known = this.live.get(id)
    if (known) return known
    const { state, scope } = this.parts
    return this.remember(
      id,
      persist(() => state.get<OutboxEntry>(scope, id)).then((entry) => entry && newLive(entry)),
    )
  }

  /** What came of looking for an entry or creating it, for all who ask meanwhile; nothing is remembered of none. */
  private remember<T extends Live | undefined>(id: string, looked: Promise<T>): Promise<T> {
    const forget = (): void => {
      if (this.live.get(id) === looked) this.live.delete(id)
    }
    this.live.set(id, looked)
    looked.then((live) => {
      if (!live) forget()
    }, forget)
    return looked
  }

  /** Of any number that put a new message there at once, one creates it, and the others find it. */
  private async findOrCreate(id: string, conversation: string, content: Content, final: boolean): Promise<Found> {
    for (;;) {
      const live = await this.find(id)
      if (live) return { live, isNew: false }
      // Whoever looked at the same time and went on first is creating it.
      if (this.live.has(id)) continue
      this.creating.add(id)
      const creating = this.create(id, conversation, content, final)
      const created = this.remember(
        id,
        creating.then((found) => found.live),
      )
      await created.finally(() => this.creating.delete(id))
      return creating
    }
  }

  private async create(id: string, conversation: string, content: Content, final: boolean): Promise<Found> {
    const now = this.now()
    this.lastOrder = Math.max(this.lastOrder + 1, now * 1_000)
    const entry: OutboxEntry = {
      id,
      conversation,
      order: this.lastOrder,
      content,
      state: 'pending',
      messageId: null,
      stale: false,
      final,
      reason: null,
      createdAt: now,
      updatedAt: now,
    }
    const found = await this.insert(entry)
    // Another process was faster: it is its message to send.
    if (found) return { live: newLive(found), isNew: false }
    const live = newLive(entry)
    this.enlist(live)
    return { live, isNew: true }
  }

  /** Writes a new entry, only if there is none of its id; else answers the one that is there. */
  private async insert(entry: OutboxEntry): Promise<OutboxEntry | undefined> {
    const { state, scope } = this.parts
    let attempts = 0
    try {
      await persist(() => {
        attempts += 1
        return state.set(scope, entry.id, entry, { expectedVersion: 0, ttlMs: KEPT_MS.open })
      })
      return undefined
    } catch (error) {
      if (!(error instanceof InvocationError && error.code === 'version_conflict')) throw error
      const found = await persist(() => state.get<OutboxEntry>(scope, entry.id))
      if (!found) throw error
      // It is this very entry where the answer to an earlier attempt was lost.
      return attempts > 1 && isDeepStrictEqual(found, entry) ? undefined : found
    }
  }

  private async change(live: Live, content: Content, final: boolean): Promise<void> {
    const { entry } = live
    const same = !live.behind && isSame(entry.content, content)
    if (same && (entry.final || !final)) return
    entry.content = content
    entry.final ||= final
    if (entry.state === 'sent' && !same) entry.stale = true
    if (entry.state === 'failed' && final && !same) entry.state = 'pending'
    if (entry.state === 'in_doubt' && final) await this.ask(entry)
    if (final) await this.save(live)
    this.enlist(live)
  }

  private keep(entry: OutboxEntry): Live {
    const live = newLive(entry)
    this.live.set(entry.id, Promise.resolve(live))
    this.enlist(live)
    return live
  }

  private enlist(live: Live): void {
    const { conversation } = live.entry
    const lane = this.lanes.get(conversation)
    if (lane) lane.entries.add(live)
    else this.lanes.set(conversation, { entries: new Set([live]), running: undefined })
    this.prune()
  }

  private run(conversation: string): void {
    const lane = this.lanes.get(conversation)
    if (!lane || lane.running || !this.opened || this.stopping.signal.aborted) return
    lane.running = this.serve(conversation, lane.entries)
      .catch(async (error: unknown) => {
        if (this.stopping.signal.aborted) return
        this.parts.log.warn(
          { err: error, conversation },
          'the outbox of a conversation stands still and is tried again',
        )
        await delay(RETRY_MS.first, undefined, { ref: false })
      })
      .then(() => {
        lane.running = undefined
        if (this.stopping.signal.aborted) return
        if ([...lane.entries].some(({ entry }) => hasWork(entry))) this.run(conversation)
        else this.lanes.delete(conversation)
      })
  }

  private async serve(conversation: string, entries: Set<Live>): Promise<void> {
    const { pacer } = this.parts
    const { signal } = this.stopping
    for (;;) {
      const live = nextOf(entries)
      if (!live) return
      const wait = live.retryAt - this.now()
      if (wait > 0) await delay(wait, undefined, { signal })
      const end = await pacer.turn(conversation, signal)
      try {
        if (live.entry.state === 'pending') await this.send(live)
        else await this.edit(live)
      } finally {
        end()
      }
    }
  }

  private async send(live: Live): Promise<void> {
    const { entry } = live
    if (this.now() - entry.createdAt > MAX_WAIT_MS && live.failures > 0) {
      Object.assign(entry, { state: 'failed', reason: `Not sent within a day: ${entry.reason}` })
      return this.save(live)
    }
    entry.state = 'sending'
    try {
      await this.save(live)
    } catch (error) {
      entry.state = 'pending'
      throw error
    }
    const shown = entry.content
    try {
      entry.messageId = await this.parts.transport.send(entry.conversation, shown, entry.id)
      Object.assign(entry, { state: 'sent', reason: null, stale: !isSame(entry.content, shown) })
      live.failures = 0
    } catch (error) {
      if (error instanceof MovedError) {
        entry.state = 'pending'
        return this.follow(entry.conversation, error)
      }
      const outcome = error instanceof SendError ? error.outcome : 'unknown'
      if (outcome === 'unknown') return this.doubt(live, reasonOf(error))
      entry.state = outcome === 'refused' ? 'failed' : 'pending'
      entry.reason = reasonOf(error)
      if (outcome === 'not_sent') this.postpone(live, error)
    }
    await this.save(live)
    if (entry.state === 'failed') {
      this.parts.log.warn({ entry: entry.id, conversation: entry.conversation, reason: entry.reason }, 'not delivered')
    }
  }

  /** An edit may be repeated: it says what is to be shown. */
  private async edit(live: Live): Promise<void> {
    const { entry } = live
    const shown = entry.content
    live.behind = false
    try {
      await this.parts.transport.edit(entry.conversation, entry.messageId!, shown, entry.id)
      entry.stale = !isSame(entry.content, shown)
      live.failures = 0
    } catch (error) {
      const moved = error instanceof MovedError
      const refused = error instanceof SendError && error.outcome === 'refused'
      if (!refused && !moved) return this.postpone(live, error)
      // The message is gone, say; a whole answer is sent anew, half of one is not worth it.
      if (entry.final) Object.assign(entry, { state: 'pending', messageId: null })
      else live.behind = true
      entry.stale = false
      entry.reason = reasonOf(error)
      if (moved) await this.follow(entry.conversation, error)
    }
    if (entry.final) await this.save(live)
  }

  private async follow(from: string, { to }: MovedError): Promise<void> {
    await this.parts.onMoved?.(from, to)
    await this.move(from, to)
  }

  private async doubt(live: Live, reason: string): Promise<void> {
    const { entry } = live
    Object.assign(entry, { state: 'in_doubt', reason, stale: false })
    this.parts.log.warn(
      { entry: entry.id, conversation: entry.conversation, reason },
      'it is not known whether a message arrived; it is not sent again by itself',
    )
    // The question first: after a crash between the two it is asked again under the same id.
    if (entry.final) await this.ask(entry)
    await this.save(live)
  }

  private async ask({ id, conversation }: OutboxEntry): Promise<void> {
    if (isNotice(id)) return
    await this.put(noticeId(id), conversation, arrivalQuestion(id))
  }

  private postpone(live: Live, error: unknown): void {
    const retryAfter = error instanceof SendError ? error.retryAfterMs : undefined
    const backoff = Math.min(RETRY_MS.first * 2 ** live.failures, RETRY_MS.last)
    live.failures += 1
    live.retryAt = this.now() + (retryAfter ?? backoff)
    if (retryAfter !== undefined) this.parts.pacer.hold(live.entry.conversation, retryAfter)
    this.parts.log.warn({ entry: live.entry.id, reason: reasonOf(error) }, 'a message waits and is tried again')
  }

  /** Writes the entry as it is when its turn comes; writes of one entry never overtake each other. */
  private save(live: Live): Promise<void> {
    const { state, scope } = this.parts
    const { entry } = live
    entry.updatedAt = this.now()
    const write = () =>
      persist(async () => {
        await state.set(scope, entry.id, entry, { ttlMs: entry.state === 'sent' ? KEPT_MS.sent : KEPT_MS.open })
      })
    const saved = live.saved.then(write, write)
    live.saved = saved
    saved.catch(() => {})
    return saved
  }

  private prune(): void {
    if (this.live.size <= MAX_IDLE) return
    const busy = new Set([...this.lanes.values()].flatMap(({ entries }) => [...entries].map(({ entry }) => entry.id)))
    for (const id of this.live.keys()) {
      if (this.live.size <= MAX_IDLE / 2) return
      if (!busy.has(id) && !this.creating.has(id)) this.live.delete(id)
    }
  }
}

function newLive(entry: OutboxEntry): Live {
  return { entry, saved: Promise.resolve(), failures: 0, retryAt: 0, behind: false }
}

function nextOf(entries: Set<Live>): Live | undefined {
  let next: Live | undefined
  for (const live of entries) {
    if (!hasWork(live.entry)) {
      if (live.entry.final) entries.delete(live)
    } else if (!next || live.entry.order < next.entry.order) next = live
  }
  return next
}

function hasWork({ state, stale, messageId }: OutboxEntry): boolean {
  return state === 'pending' || (state === 'sent' && stale && messageId !== null)
}

function unanswering({ replyTo: _elsewhere, ...content }: Content): Content {
  return content
}

function isSame(a: Content, b: Content): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function reasonOf(error: unknown): string {
  // Only a `SendError` is known to hold no secret.
  return error instanceof SendError || error instanceof AgentError || error instanceof InvocationError
    ? error.message
    : 'The request failed in an unexpected way'
}
