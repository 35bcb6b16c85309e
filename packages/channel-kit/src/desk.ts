import { list } from '@agentos/contracts/agent-core'
import { AgentError, type HandlerContext, InvocationError, visibleLine } from '@agentos/sdk'
import type { Access, Role } from './access.ts'
import { chatStreamed } from './agent-chat.ts'
import { cancelRunsOf, endOf, isOver, lookAt, questionKey, shortened } from './agent-run.ts'
import type { Conversations } from './conversations.ts'
import { isPassing } from './durable.ts'
import type { FollowedRuns } from './followed-runs.ts'
import { type Command, type Message, type Press, readCommand } from './message.ts'
import type { Outbox } from './outbox.ts'
import type { ButtonAction, OutboxEntry } from './outbox-entry.ts'
import { Reply } from './reply.ts'
import { plain } from './rich-text.ts'
import { RunningTurns } from './running-turns.ts'
import type { Answer, Target, Turns } from './turns.ts'
import {
  failureWords,
  forwardNote,
  pairingWords,
  quoteNote,
  unknownCommand,
  unusableNote,
  unusableWords,
  words,
} from './words.ts'

/** How often the agent is asked for one message before the person hears that it did not work. */
const MAX_ATTEMPTS = 4
/** Most services show that somebody types for some five seconds. */
const TYPING_MS = 4_500

export interface DeskParts {
  outbox: Outbox
  access: Access
  conversations: Conversations
  turns: Turns
  runs: FollowedRuns
  /** Who answers where nobody else is bound. */
  defaultAgent: string
  /** UTF-16 units of one message of the service. */
  limit: number
  /** Between two looks at an answer that is being written, in milliseconds; `undefined` shows only whole ones. */
  everyMs: number | undefined
  /** Says in the conversation that an answer is coming; failures do not matter. */
  showTyping: (conversation: string) => Promise<void>
  /** How the owner approves a pairing code, to be shown to a stranger. */
  approveHint: (code: string) => string
}

/**
 * What happens to a message: who wrote it, command or chat, answer. A job of the queue calls it, and calls it again after
 * a crash: what has been answered is not answered again, an answer that was computed is not computed again, and a chat that
 * was begun is joined where it is. One that waits for a person is answered with the question, and followed to its end.
 */
export class Desk {
  private readonly parts: DeskParts
  private readonly running = new RunningTurns()

  constructor(parts: DeskParts) {
    this.parts = parts
  }

  async receive(message: Message, ctx: HandlerContext): Promise<void> {
    const role = await this.parts.access.roleOf(message.sender.id)
    if (!role) return this.pair(message)
    const command = message.forwarded === undefined ? readCommand(message.text) : undefined
    if (command) return this.obey(command, message, role, ctx)
    const hasWords = message.text.trim() !== '' || (message.quote !== undefined && message.unusable.length === 0)
    if (!hasWords) return this.say(message, unusableWords(message.unusable))
    return this.chat(message, role, ctx)
  }

  /** Answers in a few words what the press did. */
  async press(press: Press, ctx: HandlerContext): Promise<string> {
    const { outbox, access } = this.parts
    const role = await access.roleOf(press.sender.id)
    if (!role) return words.notYours
    const entry = await outbox.get(press.entryId)
    const button = entry?.content.buttons?.[press.button]
    // A press is only what a client says: the button has to be where it was shown.
    if (!entry || !button || entry.conversation !== press.conversation) return words.outdated
    if (entry.messageId !== null && entry.messageId !== press.messageId) return words.outdated
    const { action } = button
    if (action.kind === 'settle') return this.settle(entry, action)
    return role === 'owner' ? this.decide(entry, action, press, ctx) : words.notYours
  }

  private async pair({ sender, conversation, direct, eventId }: Message): Promise<void> {
    // A code is nobody else's business, and a group is not spoken to on a stranger's account.
    if (!direct) return
    const { access, approveHint } = this.parts
    const pairing = await access.pair(sender, conversation, eventId)
    if (!pairing) return
    // Once per code: whatever else a stranger writes costs nothing.
    if (pairing.told) return
    await this.put(eventId, conversation, pairingWords(pairing.code, approveHint(pairing.code)))
  }

  private async obey(command: Command, message: Message, role: Role, ctx: HandlerContext): Promise<void> {
    const { conversations } = this.parts
    const { conversation } = message
    switch (command.name) {
      case 'start':
        return this.say(message, words.start)
      case 'help':
        return this.say(message, words.help)
      case 'new':
        await conversations.renew(conversation)
        return this.say(message, words.newSession)
      case 'stop':
        await conversations.stop(conversation, message.place)
        this.running.stop(conversation)
        // A run goes on without whoever asked for it.
        await cancelRunsOf(ctx, (await conversations.get(conversation)).sessionId)
        return this.say(message, words.stopped)
      case 'agent':
        return this.say(message, await this.chooseAgent(command.argument, conversation, role, ctx))
      default:
        return this.say(message, unknownCommand(command.name))
    }
  }

  private async chooseAgent(wanted: string, conversation: string, role: Role, ctx: HandlerContext): Promise<string> {
    const { conversations, defaultAgent } = this.parts
    const { agentId } = await conversations.get(conversation)
    if (wanted === '') return `The agent ${agentId ?? defaultAgent} answers here.`
    if (role !== 'owner') return 'Only an owner chooses the agent.'
    const agents = await ctx.call(list, {})
    if (!agents.some(({ id }) => id === wanted)) {
      return `There is no agent ${wanted}. There are: ${agents.map(({ id }) => id).join(', ')}`
    }
    await conversations.bind(conversation, wanted)
    return `From now on the agent ${wanted} answers here.`
  }

  private async chat(message: Message, role: Role, ctx: HandlerContext): Promise<void> {
    const { turns, conversations, runs, defaultAgent, outbox, limit, everyMs } = this.parts
    const { eventId, conversation, replyTo } = message
    // After the loss of the engine the same message may come again while its first run still ends.
    const turn = await this.running.begin(conversation, ctx.signal)
    try {
      const known = await turns.get(eventId)
      if (known?.state === 'done') return
      const attempts = (known?.attempts ?? 0) + 1
      const { stoppedAt, agentId, sessionId } = await conversations.get(conversation)
      const target = known?.target ?? { agentId: agentId ?? defaultAgent, sessionId }
      let answer = known?.answer
      const reply = new Reply(outbox, { id: eventId, conversation, replyTo }, { limit, everyMs })
      if (!answer && message.place <= stoppedAt) return await turns.set(eventId, { state: 'done', attempts })
      if (!answer) {
        await turns.set(eventId, { state: 'chatting', attempts, target })
        answer = await this.ask({ message, role, target, attempts, reply, stopped: turn.signal }, ctx)
        await turns.set(eventId, { state: 'answered', attempts, answer })
      }
      await reply.finish(answer)
      const { waits } = answer
      if (waits) {
        const where = { eventId, conversation, ...(replyTo === undefined ? {} : { replyTo }) }
        await runs.follow({ ...where, ...waits, asker: role, questions: 1 })
      }
      await turns.set(eventId, { state: 'done', attempts, answer })
    } finally {
      turn.end()
    }
  }

  /** What is to be said; throws where the job is to come again. */
  private async ask({ message, role, target, attempts, reply, stopped }: Asked, ctx: HandlerContext): Promise<Answer> {
    const { quote, forwarded, unusable } = message
    const text = forwarded === undefined ? message.text : forwardNote(message.text, forwarded)
    const notes = [quote && quoteNote(quote), text, unusable.length > 0 ? unusableNote(unusable) : '']
    const typing = this.showTyping(message.conversation, reply)
    try {
      const { content, stopReason, runId } = await chatStreamed(
        ctx,
        { ...target, message: notes.filter(Boolean).join('\n\n') },
        // The same at every attempt: a run that this message began goes on, and its answer stays its answer.
        { signal: stopped, idempotencyKey: message.eventId },
        { onText: (text) => reply.add(text), onVoid: () => reply.begin() },
      )
      if (stopReason === 'waiting') return await this.question(runId, role, ctx)
      return { markdown: content.trim() === '' ? words.noAnswer : content }
    } catch (error) {
      // Nobody hears what is said now; the job comes again.
      if (ctx.signal.aborted) throw error
      if (stopped.aborted) return after(reply.partial, words.stoppedHere)
      if (isPassing(error) && !isInDoubt(error) && attempts < MAX_ATTEMPTS) throw error
      return after(reply.partial, reasonWords(error))
    } finally {
      clearInterval(typing)
    }
  }

  /** What a run that waits asks; its answer where it has gone on meanwhile. */
  private async question(runId: string, role: Role, ctx: HandlerContext): Promise<Answer> {
    const run = await lookAt(ctx, runId, 0)
    if (isOver(run)) return endOf(run)
    const asked = await this.parts.runs.question(run, role)
    return { ...asked, waits: { runId, asked: questionKey(run) } }
  }

  private showTyping(conversation: string, reply: Reply): NodeJS.Timeout {
    const show = () => {
      if (!reply.visible) this.parts.showTyping(conversation).catch(() => {})
    }
    show()
    return setInterval(show, TYPING_MS)
  }

  private async settle(entry: OutboxEntry, action: ButtonAction & { kind: 'settle' }): Promise<string> {
    const { outbox } = this.parts
    const asked = await outbox.get(action.entryId)
    const again = action.as === 'resend'
    if (asked?.state === 'in_doubt') await outbox.resolve(action.entryId, action.as)
    const said = again ? 'It is sent again.' : 'Good.'
    await outbox.put(entry.id, entry.conversation, { rich: plain(`${entry.content.rich.text}\n${said}`) })
    return said
  }

  private async decide(
    entry: OutboxEntry,
    { requestId, decision }: ButtonAction & { kind: 'decide' },
    { eventId, sender }: Press,
    ctx: HandlerContext,
  ): Promise<string> {
    try {
      await ctx.trigger({
        function_id: 'approval::decide',
        // The decision is an owner's, who was known by the service's id.
        payload: { requestId, decision, person: { id: sender.id, name: sender.name } },
        idempotencyKey: eventId,
      })
    } catch (error) {
      if (!(error instanceof InvocationError)) throw error
      if (['function_not_found', 'NOT_FOUND', 'worker_unavailable'].includes(error.code)) return words.noApprovals
      if (isPassing(error)) throw error
      return failureWords(shortened(error.reason))
    }
    const said = `${decision === 'approve' ? 'Approved' : 'Denied'} by ${visibleLine(sender.name)}.`
    const { rich } = entry.content
    await this.parts.outbox.put(entry.id, entry.conversation, {
      rich: { ...rich, text: `${rich.text}\n\n${said}` },
    })
    return said
  }

  private say({ eventId, conversation, replyTo }: Message, text: string): Promise<void> {
    return this.put(eventId, conversation, text, replyTo)
  }

  private async put(eventId: string, conversation: string, text: string, replyTo?: string): Promise<void> {
    const content = { rich: plain(text), ...(replyTo === undefined ? {} : { replyTo }) }
    await this.parts.outbox.put(`${eventId}:0`, conversation, content)
  }
}

/** One message on its way to the agent. */
interface Asked {
  message: Message
  role: Role
  target: Target
  attempts: number
  reply: Reply
  stopped: AbortSignal
}

function after(partial: string, said: string): Answer {
  return { markdown: partial.trim() === '' ? said : `${partial}\n\n${said}` }
}

function reasonWords(error: unknown): string {
  if (isInDoubt(error)) return words.interrupted
  if (!(error instanceof InvocationError || error instanceof AgentError)) return failureWords('an unexpected error')
  return failureWords(shortened(error instanceof InvocationError ? error.reason : error.message))
}

function isInDoubt(error: unknown): boolean {
  return error instanceof InvocationError && (error.code === 'in_doubt' || error.code === 'key_reused')
}
