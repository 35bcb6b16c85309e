import { fileURLToPath } from 'node:url'
import { emailDraft, emailSend } from '@agentos/contracts/toolbox'
import { AgentError, type HandlerContext, StateClient } from '@agentos/sdk'
import { type SmtpFault, type SmtpSimulator, startSmtpSimulator } from '@agentos/testing'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Settings } from '../settings.ts'
import { Mailer } from './mailer.ts'

let server: SmtpSimulator
let records: Map<string, { value: unknown; version: number }>
/** Runs before every write of the state; what it throws is the write's failure. */
let beforeWrite: (value: { phase?: string }) => void

beforeEach(async () => {
  server = await startSmtpSimulator({ login: { user: 'me', password: 'p@ss' } })
  records = new Map()
  beforeWrite = () => {}
})
afterEach(() => server.close())

const mailer = (more: object = {}) =>
  new Mailer(Settings.parse({}), { root: '/', smtpUrl: server.url, mailFrom: 'Me <me@example.com>', ...more })

function context(more: Partial<HandlerContext> = {}): HandlerContext {
  const state = new StateClient(async ({ function_id: id, payload }) => {
    const input = payload as { scope: string; key: string; prefix: string; value: object; expectedVersion?: number }
    const at = `${input.scope} ${input.key ?? input.prefix}`
    const found = records.get(at)
    if (id === 'state::get') return found?.value
    if (id === 'state::entries') return { entries: found ? [{ key: input.prefix, ...found }] : [] }
    beforeWrite(input.value)
    const version = found?.version ?? 0
    if (input.expectedVersion !== undefined && input.expectedVersion !== version) {
      throw new AgentError('version_conflict', 'written meanwhile')
    }
    records.set(at, { value: structuredClone(input.value), version: version + 1 })
    return { version: version + 1 }
  })
  const call = { functionId: 'fn::email_send', principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' }
  return { ...call, state, signal: new AbortController().signal, ...more } as HandlerContext
}

const LETTER = { to: 'Ann <ann@example.com>', subject: 'Grüße', text: 'First line\n.\n..dots\nend' }
const parse = (input: object) => emailSend.input().parse(input)
const draftOf = async (input: object = {}) =>
  (await mailer().draft(emailDraft.input().parse({ ...LETTER, ...input }), context())).draftId
const send = (input: object, ctx = context(), by = mailer()) => by.send(parse(input), ctx)
const code = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'no failure',
    (error: { code: string }) => error.code,
  )

describe('a mail', () => {
  it('goes from a draft to its recipients as it was written, blind copies hidden', async () => {
    const draftId = await draftOf({ cc: ['bob@example.com'], bcc: 'eve@example.com', html: '<b>hi</b>' })
    const result = await send({ draftId })
    expect(result).toMatchObject({ sent: true, repeated: false, rejected: [] })
    expect(result.accepted).toEqual(['ann@example.com', 'bob@example.com', 'eve@example.com'])
    const [mail] = server.received
    expect(mail).toMatchObject({ from: 'me@example.com', to: result.accepted })
    expect(mail!.headers.get('message-id')).toBe(result.messageId)
    expect(mail!.raw).not.toContain('eve@example.com')
    expect(mail!.body).toContain('\r\n.\r\n..dots\r\n')
    expect(server.violations).toEqual([])
  })

  it('is sent once for a draft, however often and at once it is asked for', async () => {
    const draftId = await draftOf()
    const by = mailer()
    const results = await Promise.all([1, 2, 3, 4, 5].map(() => send({ draftId }, context(), by)))
    results.push(await send({ draftId }))
    expect(results.filter(({ repeated }) => !repeated)).toHaveLength(1)
    expect(new Set(results.map(({ messageId }) => messageId)).size).toBe(1)
    expect(server.received).toHaveLength(1)
  })

  it('is sent once for an idempotency key, of the input or of the call; other text under it is refused', async () => {
    const keyed = context({ idempotencyKey: 'k1' } as Partial<HandlerContext>)
    await send(LETTER, keyed)
    expect(await send({ ...LETTER, idempotencyKey: 'k1' })).toMatchObject({ repeated: true })
    expect(await code(send({ ...LETTER, text: 'other' }, keyed))).toBe('key_reused')
    expect(server.received).toHaveLength(1)
    await send(LETTER)
    await send(LETTER)
    expect(server.received).toHaveLength(3)
  })

  it('under a key is that of one caller: the same key of another is another mail', async () => {
    const by = (id: string) =>
      context({ principal: { kind: 'agent', id }, idempotencyKey: 'k1' } as Partial<HandlerContext>)
    const first = await send(LETTER, by('a'))
    const second = await send(LETTER, by('b'))
    expect(second).toMatchObject({ repeated: false })
    expect(second.messageId).not.toBe(first.messageId)
    expect(await send({ ...LETTER, text: 'other' }, by('c'))).toMatchObject({ repeated: false })
    expect(await send({ ...LETTER, idempotencyKey: 'k1' }, by('b'))).toMatchObject({ repeated: false })
    expect(server.received).toHaveLength(3)
  })

  it('of a call that comes again under its key is answered as the first time, by another process too', async () => {
    const keyed = () => context({ idempotencyKey: 'run-1/2', functionId: 'fn::email_send' } as Partial<HandlerContext>)
    const first = await send(LETTER, keyed())
    expect(first.repeated).toBe(false)
    expect(await send(LETTER, keyed(), mailer())).toEqual(first)
    expect(server.received).toHaveLength(1)
    // The record is lost: the message carries the same id, so that it can be found.
    records.clear()
    expect((await send(LETTER, keyed())).messageId).toBe(first.messageId)
  })

  it('that a call under a key may have sent is in doubt for that key, and never sent again', async () => {
    const keyed = () => context({ idempotencyKey: 'run-1/3' } as Partial<HandlerContext>)
    server.play('lose-confirmation')
    expect(await code(send(LETTER, keyed()))).toBe('in_doubt')
    expect(await code(send(LETTER, keyed()))).toBe('in_doubt')
    expect(server.received).toHaveLength(1)
  })

  it('is one draft for a key, and each time a new one without', async () => {
    const input = emailDraft.input().parse(LETTER)
    const keyed = () => context({ idempotencyKey: 'k', functionId: 'fn::email_draft' } as Partial<HandlerContext>)
    const first = await mailer().draft(input, keyed())
    expect(await mailer().draft(input, keyed())).toEqual(first)
    expect(await code(mailer().draft({ ...input, text: 'other' }, keyed()))).toBe('key_reused')
    expect(await draftOf()).not.toBe(await draftOf())
    expect(await send({ draftId: first.draftId })).toMatchObject({ repeated: false })
  })

  it('that the server took without saying so is in doubt, and never sent again', async () => {
    const draftId = await draftOf()
    server.play('lose-confirmation')
    expect(await code(send({ draftId }))).toBe('in_doubt')
    expect(await code(send({ draftId }))).toBe('in_doubt')
    expect(server.received).toHaveLength(1)
  })

  it('of a process that died is in doubt where it may have left, and sent where it has not', async () => {
    const died = async (phase: string): Promise<string> => {
      const draftId = await draftOf()
      beforeWrite = (value) => {
        // From here on this process writes nothing any more.
        if (value.phase === phase)
          beforeWrite = () => {
            throw new AgentError('engine_lost', 'killed')
          }
      }
      await send({ draftId }).catch(() => {})
      beforeWrite = () => {}
      return code(send({ draftId }))
    }
    expect(await died('claimed')).toBe('no failure')
    expect(server.received).toHaveLength(1)
    expect(await died('content')).toBe('in_doubt')
    expect(server.received).toHaveLength(2)
  })

  it.each<[SmtpFault, string]>([
    ['break-before-content', 'upstream_error'],
    ['refuse-recipient', 'upstream_rejected'],
    ['refuse-content', 'upstream_rejected'],
    ['defer-content', 'upstream_error'],
  ])('that the server surely did not take (%s) is an error, and can be sent again', async (fault, expected) => {
    const draftId = await draftOf()
    server.play(fault)
    expect(await code(send({ draftId }))).toBe(expected)
    expect(server.received).toHaveLength(0)
    expect(await send({ draftId })).toMatchObject({ repeated: false })
    expect(server.received).toHaveLength(1)
  })

  it('of a cancelled call does not leave', async () => {
    const draftId = await draftOf()
    expect(await code(send({ draftId }, context({ signal: AbortSignal.abort() })))).toBe('cancelled')
    expect(server.received).toHaveLength(0)
    expect(await code(send({ draftId }))).toBe('no failure')
  })
})

describe('what is refused', () => {
  it.each([
    { to: 'nobody' },
    { to: [] },
    { to: 'a@b.c, d@e.f' },
    { to: 'a@b.c\r\nBcc: d@e.f' },
    { to: 'a@b.c> RCPT TO:<d@e.f' },
    { to: '"a\\" <x@y.z>"@b.c' },
    { to: 'a b@c.d' },
    { to: '<a@b.c> <d@e.f>' },
    { subject: 'Hello\r\nBcc: d@e.f' },
    { subject: 'Hello\u2028x' },
    { replyTo: 'a@b.c\nX: y' },
    { cc: Array.from({ length: 20 }, (_, index) => `n${index}@example.com`) },
  ])('%j', async (change) => {
    expect(await code(send({ ...LETTER, ...change }))).toBe('invalid_input')
    expect(await code(mailer().draft(emailDraft.input().parse({ ...LETTER, ...change }), context()))).toBe(
      'invalid_input',
    )
    expect(server.connections).toBe(0)
  })

  it('a draft with a message, neither of them, and a draft that is not there', async () => {
    const draftId = await draftOf()
    expect(await code(send({ draftId, text: 'other' }))).toBe('invalid_input')
    expect(await code(send({}))).toBe('invalid_input')
    expect(await code(send({ draftId: 'draft-none' }))).toBe('not_found')
  })

  it('a file that the text names: it is text', async () => {
    await send({ ...LETTER, html: fileURLToPath(import.meta.url) })
    expect(server.received[0]!.raw).not.toContain('import {')
  })

  it('mail without settings, or with ones that cannot be used', async () => {
    await expect(send(LETTER, context(), mailer({ smtpUrl: undefined }))).rejects.toThrow('SMTP_URL in .env')
    await expect(send(LETTER, context(), mailer({ mailFrom: undefined }))).rejects.toThrow('MAIL_FROM in .env')
    expect(await code(send(LETTER, context(), mailer({ smtpUrl: 'http://x/' })))).toBe('not_configured')
    expect(await code(send(LETTER, context(), mailer({ smtpUrl: server.url.replace('p%40ss', 'wrong') })))).toBe(
      'upstream_auth',
    )
  })
})
