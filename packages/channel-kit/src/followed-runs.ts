import { setTimeout as delay } from 'node:timers/promises'
import { type Caller, InvocationError } from '@agentos/sdk'
import type { Role } from './access.ts'
import { approvalIn, endOf, isOver, lookAt, questionKey, questionOf, type RunLook } from './agent-run.ts'
import { isPassing, persist } from './durable.ts'
import type { Outbox } from './outbox.ts'
import { Reply } from './reply.ts'
import type { Answer } from './turns.ts'
import { words } from './words.ts'

/** How long one look waits for the end of a run; a further question is noticed so much later at most. */
const LOOK_MS = 2_000
const RETRY_MS = 1_000
const PAGE = 200
/** The engine keeps no run so long. */
const KEPT_MS = 60 * 24 * 3_600_000

/** A chat that went on waiting after its message was answered with a question. */
export interface Followed {
  runId: string
  /** The message that began it. */
  eventId: string
  conversation: string
  replyTo?: string
  asker: Role
  /** What was asked last (`questionKey`), and how many questions there were. */
  asked: string
  questions: number
}

export interface FollowedRunsParts {
  /** Acts in the channel's realm, on the worker's own behalf. */
  self: Caller
  scope: string
  outbox: Outbox
  /** UTF-16 units of one message of the service. */
  limit: number
  /** Asks all owners, each in private, what a run waits for on behalf of somebody who is none. */
  askOwners: (requestId: string, functionId: string) => Promise<void>
}

/**
 * Runs that wait for a person: each is on disk until its end was said, so that an answer comes however long the decision
 * takes and whatever dies meanwhile. They hold up no other message of their conversation.
 */
export class FollowedRuns {
  private readonly parts: FollowedRunsParts
  private readonly stopping = new AbortController()
  private readonly known = new Set<string>()

  constructor(parts: FollowedRunsParts) {
    this.parts = parts
  }

  /** Takes up what an earlier process followed. */
  async open(): Promise<void> {
    const { self, scope } = this.parts
    for (let after: string | undefined; ; ) {
      const options = { limit: PAGE, ...(after === undefined ? {} : { after }) }
      const page = await persist(() => self.state.entries<Followed>(scope, options))
      for (const { value } of page.entries) this.start(value)
      if (page.next === undefined) return
      after = page.next
    }
  }

  stop(): void {
    this.stopping.abort()
  }

  /** What a run asks, for the conversation that it belongs to; owners hear of it too where its asker is none. */
  async question(run: RunLook, asker: Role): Promise<Answer> {
    await this.askOthers(run, asker)
    return questionOf(this.parts.self, run, asker)
  }

  /** On disk when this resolves; then its end will be said. */
  async follow(followed: Followed): Promise<void> {
    await this.save(followed)
    this.start(followed)
  }

  private start(followed: Followed): void {
    if (this.known.has(followed.runId)) return
    this.known.add(followed.runId)
    void this.watch(followed)
  }

  private async watch(followed: Followed): Promise<void> {
    const { signal } = this.stopping
    while (!signal.aborted) {
      try {
        if (await this.step(followed)) return
      } catch (error) {
        if (signal.aborted) return
        if (!isPassing(error)) this.parts.self.log.warn({ err: error, run: followed.runId }, 'a run is looked at again')
        await delay(RETRY_MS, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** True where there is nothing more to be said. */
  private async step(followed: Followed): Promise<boolean> {
    const run = await this.look(followed.runId)
    const key = questionKey(run)
    if (key !== followed.asked) await this.closeQuestion(followed)
    if (isOver(run)) {
      await this.say(followed, `${followed.eventId}f`, endOf(run))
      await persist(() => this.parts.self.state.delete(this.parts.scope, followed.runId))
      this.known.delete(followed.runId)
      return true
    }
    if (key !== followed.asked) await this.askAgain(followed, run, key)
    return false
  }

  private async look(runId: string): Promise<RunLook> {
    try {
      return await lookAt(this.parts.self, runId, LOOK_MS)
    } catch (error) {
      if (!(error instanceof InvocationError) || error.code !== 'not_found') throw error
      return { runId, status: 'failed', error: { code: 'not_found', message: words.runIsGone } }
    }
  }

  private async askAgain(followed: Followed, run: RunLook, key: string): Promise<void> {
    if (key !== '') {
      const question = await this.question(run, followed.asker)
      await this.say(followed, questionId(followed, followed.questions), question)
      followed.questions += 1
    }
    followed.asked = key
    await this.save(followed)
  }

  /** Somebody decided, here or elsewhere: its buttons do nothing any more. */
  private async closeQuestion(followed: Followed): Promise<void> {
    if (followed.asked === '') return
    const { outbox } = this.parts
    // A question is short enough to be one message; were it more, the last would have the buttons.
    const entry = await outbox.get(`${questionId(followed, followed.questions - 1)}:0`)
    if (!entry?.content.buttons) return
    const { buttons: _gone, ...content } = entry.content
    await outbox.put(entry.id, entry.conversation, content)
  }

  /** Of somebody who may not decide: those who may hear of it where they are. */
  private async askOthers(run: RunLook, asker: Role): Promise<void> {
    const requestId = approvalIn(run)
    if (requestId === undefined || asker === 'owner') return
    try {
      await this.parts.askOwners(requestId, run.question?.function ?? 'something')
    } catch (error) {
      // Then it is not said that they were, and they are asked again.
      if (isPassing(error)) throw error
      this.parts.self.log.warn({ err: error, requestId }, 'no owner was asked; npm run agentos -- approvals decides it')
    }
  }

  private async say({ conversation, replyTo }: Followed, id: string, answer: Answer): Promise<void> {
    const { outbox, limit } = this.parts
    await new Reply(outbox, { id, conversation, replyTo }, { limit, everyMs: undefined }).finish(answer)
  }

  private async save(followed: Followed): Promise<void> {
    const { self, scope } = this.parts
    await persist(() => self.state.set(scope, followed.runId, followed, { ttlMs: KEPT_MS }))
  }
}

/** The first question is the answer to the message itself. */
function questionId({ eventId }: Followed, number: number): string {
  return number === 0 ? eventId : `${eventId}q${number}`
}
