import type { emailCheck, emailDraft, emailSend } from '@agentos/contracts/toolbox'
import { placeOf } from '@agentos/keyed'
import { AgentError, canonicalJson, type HandlerContext, newId, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import type { Environment, Settings } from '../settings.ts'
import { type Letter, readLetter, recipientsOf } from './message.ts'
import { Outbox } from './outbox.ts'
import { assertServer, deliver, type SmtpSettings } from './smtp.ts'

const DRAFTS = 'email-drafts'
const DRAFT_KEPT_MS = 30 * 24 * 3_600_000

type MessageInput = ParsedInputOf<typeof emailDraft>

/** Drafts, and their way out. */
export class Mailer {
  private readonly settings: Settings
  private readonly environment: Environment
  private readonly outbox = new Outbox()

  constructor(settings: Settings, environment: Environment) {
    this.settings = settings
    this.environment = environment
  }

  async draft(input: MessageInput, ctx: HandlerContext): Promise<OutputOf<typeof emailDraft>> {
    const letter = readLetter(input, this.settings.max_recipients)
    const place = placeOf(ctx)
    // The same id for the same call: a draft that it wrote before is found, and not written beside it.
    const draftId = place === undefined ? newId('draft') : `draft-${place.slice(0, 40)}`
    const written = place === undefined ? undefined : await ctx.state.get<Letter>(DRAFTS, draftId)
    if (written && canonicalJson(written) !== canonicalJson(letter)) {
      throw new AgentError('key_reused', 'This idempotency key stands for another draft; use a new one')
    }
    if (!written) await ctx.state.set<Letter>(DRAFTS, draftId, letter, { ttlMs: DRAFT_KEPT_MS })
    return { draftId, recipients: recipientsOf(letter), subject: letter.subject }
  }

  /** Throws where `send` could not even begin. */
  async check(input: ParsedInputOf<typeof emailCheck>, ctx: HandlerContext): Promise<OutputOf<typeof emailCheck>> {
    assertServer(this.server())
    await this.find(input, ctx)
    return { ok: true }
  }

  async send(input: ParsedInputOf<typeof emailSend>, ctx: HandlerContext): Promise<OutputOf<typeof emailSend>> {
    const server = this.server()
    const { letter, key } = await this.find(input, ctx)
    const request = { state: ctx.state, realm: ctx.realm, key, call: placeOf(ctx), letter }
    const sent = await this.outbox.send(request, (messageId, beforeContent) =>
      deliver(server, letter, messageId, ctx.signal, beforeContent),
    )
    return { sent: true, ...sent }
  }

  /** A draft is its own key; a message without one is sent for this call alone. */
  private async find(
    { draftId, idempotencyKey, ...message }: ParsedInputOf<typeof emailSend>,
    ctx: HandlerContext,
  ): Promise<{ letter: Letter; key: string }> {
    if (draftId !== undefined) {
      if (Object.values(message).some((value) => value !== undefined)) {
        throw new AgentError('invalid_input', 'Give either draftId or the fields of a message, not both')
      }
      const letter = await ctx.state.get<Letter>(DRAFTS, draftId)
      if (!letter) throw new AgentError('not_found', `There is no draft ${draftId}; drafts are kept for 30 days`)
      return { letter, key: draftId }
    }
    const { to, subject, text } = message
    if (to === undefined || subject === undefined || text === undefined) {
      throw new AgentError('invalid_input', 'Give draftId, or to, subject and text')
    }
    const letter = readLetter({ ...message, to, subject, text }, this.settings.max_recipients)
    // Of the call or of the input, it is its caller's alone.
    const { functionId, principal, realm } = ctx
    const place = placeOf({ functionId, principal, realm, idempotencyKey: idempotencyKey ?? ctx.idempotencyKey })
    return { letter, key: place === undefined ? newId('send') : `key:${place}` }
  }

  private server(): SmtpSettings {
    const { smtpUrl, mailFrom } = this.environment
    if (smtpUrl !== undefined && mailFrom !== undefined) return { url: smtpUrl, from: mailFrom }
    const missing = [smtpUrl === undefined ? 'SMTP_URL' : '', mailFrom === undefined ? 'MAIL_FROM' : '']
    const names = missing.filter((name) => name !== '').join(' and ')
    const example = 'for example SMTP_URL=smtp://user:password@host:587 and MAIL_FROM=me@host'
    throw new AgentError('not_configured', `Mail needs ${names} in .env beside config.yaml (${example}), and a restart`)
  }
}
