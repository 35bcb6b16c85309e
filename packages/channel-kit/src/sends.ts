import { createHash } from 'node:crypto'
import { type KeyedCall, type KeyedRequest, Keys } from '@agentos/keyed'
import { newId, visibleText } from '@agentos/sdk'
import { readMarkdown } from './markdown.ts'
import type { Outbox } from './outbox.ts'
import type { Button } from './outbox-entry.ts'
import { Reply } from './reply.ts'
import { words } from './words.ts'

/** Whoever wants something sent, and the key under which they do. */
export type SendCall = KeyedCall & Pick<KeyedRequest, 'state'>

export interface Letter {
  /** The conversation. */
  to: string
  /** Markdown. */
  text: string
  /** The service's id of the message that this one answers. */
  replyTo?: string | undefined
}

export interface Question {
  /** What the buttons decide. */
  requestId: string
  /** Markdown, short enough for one message. */
  text: string
  buttons: Button[]
  conversations: string[]
  /** Which of them the asker named; the others follow from who is an owner now. */
  to?: string | undefined
}

export interface SendsParts {
  outbox: Outbox
  /** Where the claims of keys are kept, and nothing else. */
  scope: string
  /** UTF-16 units of one message of the service. */
  limit: number
}

/**
 * What others want sent, rather than answers to somebody. A key is that of a realm, a caller and a function: a call that
 * comes again under it sends nothing more, other input under it is `key_reused`, and the messages of two callers never
 * meet in the outbox.
 */
export class Sends {
  private readonly parts: SendsParts
  private readonly keys = new Keys()

  constructor(parts: SendsParts) {
    this.parts = parts
  }

  /** On disk when this resolves, to the ids of its messages. */
  send(letter: Letter, call: SendCall): Promise<string[]> {
    const { outbox, scope, limit } = this.parts
    const { to: conversation, text, replyTo } = letter
    const input = { to: conversation, text, replyTo: replyTo ?? null }
    return this.keys.once<string, string[]>(
      { state: call.state, scope, call, input },
      {
        plan: () => newId('send'),
        carryOut: (id) => {
          const reply = new Reply(outbox, { id, conversation, replyTo }, { limit, everyMs: undefined })
          return reply.finish({ markdown: text })
        },
      },
    )
  }

  /** Each asker asks about a request once in a conversation; without a key the request is the key. */
  ask(question: Question, call: SendCall): Promise<string[]> {
    const { state, functionId, principal, realm } = call
    const { requestId, text, to, conversations } = question
    const idempotencyKey = call.idempotencyKey ?? JSON.stringify(['request', requestId, conversations])
    const keyed = { functionId, principal, realm, idempotencyKey }
    return this.keys.once<null, string[]>(
      { state, scope: this.parts.scope, call: keyed, input: { requestId, text, to: to ?? null } },
      { plan: () => null, carryOut: () => this.put(question, `${principal.kind}/${principal.id}`) },
    )
  }

  /** A question of the channel's own. */
  askHere(question: Question): Promise<string[]> {
    return this.put(question, '')
  }

  private async put({ requestId, text, buttons, conversations }: Question, asker: string): Promise<string[]> {
    const name = createHash('sha256')
      .update(JSON.stringify([asker, requestId]))
      .digest('hex')
      .slice(0, 20)
    const content = { rich: readMarkdown(this.shown(text)), buttons }
    const ids = conversations.map((conversation) => `a${name}:${conversation}`)
    for (const [index, conversation] of conversations.entries()) {
      await this.parts.outbox.put(ids[index]!, conversation, content, { once: true })
    }
    return ids
  }

  /** A person decides by it: nothing in it hides, and it says where it is cut to one message. */
  private shown(text: string): string {
    const { limit } = this.parts
    const whole = visibleText(text)
    const end = `…\n\n${words.questionCut}`
    return whole.length <= limit ? whole : whole.slice(0, Math.max(0, limit - end.length)).toWellFormed() + end
  }
}
