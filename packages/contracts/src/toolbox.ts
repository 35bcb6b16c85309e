import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'

const Url = () => z.string().min(1).max(8_192).describe('An http or https address')
const TimeoutMs = () => z.number().int().min(100).max(120_000)

/** Half of a surrogate pair has no form in UTF-8: another character would be written, and nobody told. */
function refuseHalves(value: unknown, ctx: z.core.$RefinementCtx): void {
  if (typeof value !== 'string' || value.isWellFormed()) return
  const at = value.search(/\p{Surrogate}/u)
  const code = value.charCodeAt(at).toString(16)
  ctx.addIssue(
    `half of a character (\\u${code}) at offset ${at}, which text in UTF-8 cannot hold: complete it or leave it out`,
  )
}

/** What leaves as UTF-8. */
const Text = (max: number) => z.string().max(max).superRefine(refuseHalves)

/** Addresses that were gone through by redirects, without the last. */
const Redirects = () => z.array(z.string())

/**
 * Reads a page of the web as text. Refusals are `forbidden`, with `details.reason` (`private_address`, `own_port`, …); a
 * page that is no text is `unsupported_feature`, one that grows without end while it is unpacked `payload_too_large`.
 */
export const webFetch = defineFunction({
  id: 'fn::web_fetch',
  summary: 'Fetch a web page and read it as text, with headings, lists and links',
  input: () =>
    z.object({
      url: Url(),
      maxChars: z
        .number()
        .int()
        .min(100)
        .max(200_000)
        .default(20_000)
        .describe('Cut the text after so many characters'),
      offset: z.number().int().nonnegative().default(0).describe('Begin at this character, to read on'),
      raw: z.boolean().default(false).describe('The source as it is instead of readable text'),
      timeoutMs: TimeoutMs().optional(),
    }),
  output: () =>
    z.object({
      /** Where the page was found in the end. */
      url: z.string(),
      status: z.number().int(),
      contentType: z.string(),
      title: z.string().nullable(),
      text: z.string(),
      /** There is more text than this: from `nextOffset` on, or beyond the size limit of a page. */
      truncated: z.boolean(),
      nextOffset: z.number().int().nullable(),
      redirects: Redirects(),
    }),
  effects: 'read',
  idempotent: true,
  tool: true,
  access: 'agent',
})

export const Method = () => z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** One request. Only GET and HEAD follow redirects; other methods get the redirect as the answer. */
export const httpRequest = defineFunction({
  id: 'fn::http_request',
  summary: 'Send an HTTP request and get status, headers and body',
  input: () =>
    z.object({
      url: Url(),
      method: Method().default('GET'),
      headers: z.record(z.string().max(100), z.string().max(8_192)).default({}),
      /** A string goes as it is, everything else as JSON. */
      body: z.unknown().superRefine(refuseHalves).optional().describe('Text, or a value that is sent as JSON'),
      timeoutMs: TimeoutMs().optional(),
    }),
  output: () =>
    z.object({
      url: z.string(),
      status: z.number().int(),
      headers: z.record(z.string(), z.string()),
      /** Text, or base64 where the content type is not one of text. */
      body: z.string(),
      encoding: z.enum(['text', 'base64']),
      /** The body is longer than the limit; this is its beginning. */
      truncated: z.boolean(),
      redirects: Redirects(),
    }),
  effects: {
    field: 'method',
    cases: { GET: 'read', HEAD: 'read' },
    absent: 'read',
    otherwise: 'external',
    // Many frameworks do what such a header says instead of the method of the request line.
    overridden_by: { field: 'headers', names: ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override'] },
  },
  tool: true,
  access: 'agent',
})

const Path = () => z.string().min(1).max(1_024).describe('Relative to the workspace, for example notes/today.md')
const FileEncoding = () => z.enum(['utf8', 'base64'])

/** SHA-256 in hex. */
const Hash = () => z.string().regex(/^[0-9a-f]{64}$/, '64 hexadecimal digits')

/** A file that is not UTF-8 is answered as base64, whatever was asked for: as text its bytes would be lost. */
export const fileRead = defineFunction({
  id: 'fn::file_read',
  summary: 'Read a file of the workspace',
  input: () =>
    z.object({
      path: Path(),
      offset: z.number().int().nonnegative().default(0).describe('First byte'),
      maxBytes: z.number().int().min(1).max(1_000_000).default(200_000),
      encoding: FileEncoding().default('utf8').describe('A file that is not UTF-8 is answered as base64 all the same'),
    }),
  output: () =>
    z.object({
      path: z.string(),
      content: z.string(),
      /** Of `content`; `file_write` takes it back with the same. */
      encoding: FileEncoding(),
      /** Of the whole file, in bytes. */
      size: z.number().int(),
      /** Of the whole file; what `file_write` takes as `expectedHash`. */
      hash: z.string(),
      truncated: z.boolean(),
      /** First byte that was not read; null at the end of the file. */
      nextOffset: z.number().int().nullable(),
    }),
  effects: 'read',
  idempotent: true,
  tool: true,
  access: 'agent',
})

/**
 * The file is there whole or not at all, and keeps its permissions. `version_conflict` where `expectedHash` is not that of
 * the file; `forbidden` (`details.reason` is `read_only`) where it is read-only; `conflict` (`not_utf8`) where text would
 * replace a file that is not UTF-8.
 */
export const fileWrite = defineFunction({
  id: 'fn::file_write',
  summary: 'Write a file of the workspace; folders are made as needed',
  input: () =>
    z.object({
      path: Path(),
      content: Text(14_000_000),
      encoding: FileEncoding().default('utf8'),
      expectedHash: Hash()
        .nullish()
        .describe('Write only where the file still has this hash; null: only where there is no file'),
    }),
  output: () => z.object({ path: z.string(), size: z.number().int(), hash: z.string(), created: z.boolean() }),
  effects: 'write',
  idempotent: true,
  keyed: true,
  tool: true,
  access: 'agent',
})

/** What is no expression is `invalid_input`, with the offset in the details; so is what has no value. */
export const calculate = defineFunction({
  id: 'fn::calculate',
  summary: 'Work out an expression exactly: + - * / ^ % ! mod, parentheses, sqrt, round, min, mean, log, sin, pi, …',
  input: () => z.object({ expression: z.string().min(1).max(1_000).describe('For example (17 * 23) / sqrt(16)') }),
  output: () =>
    z.object({
      expression: z.string(),
      /** All digits where `exact`. */
      value: z.string(),
      /** The nearest double; null where there is none. */
      number: z.number().nullable(),
      exact: z.boolean(),
    }),
  effects: 'read',
  idempotent: true,
  tool: true,
})

const Recipients = () => z.union([z.string().min(3).max(320), z.array(z.string().min(3).max(320)).max(50)])

const Message = () =>
  z.object({
    to: Recipients(),
    cc: Recipients().optional(),
    bcc: Recipients().optional(),
    replyTo: z.string().min(3).max(320).optional(),
    subject: Text(998),
    text: Text(500_000).min(1),
    html: Text(1_000_000).optional(),
  })

/** Kept for 30 days. The sender is the owner's `MAIL_FROM`. */
export const emailDraft = defineFunction({
  id: 'fn::email_draft',
  summary: 'Write an e-mail as a draft, to be sent with fn::email_send',
  input: Message,
  output: () =>
    z.object({
      draftId: z.string(),
      /** Each address once, without names. */
      recipients: z.array(z.string()),
      subject: z.string(),
    }),
  effects: 'write',
  keyed: true,
  tool: true,
  access: 'agent',
})

const Sendable = () =>
  z.object({
    draftId: z.string().min(1).max(64).optional(),
    ...Message().partial().shape,
    idempotencyKey: z.string().min(1).max(200).optional().describe('A second call with this key sends nothing'),
  })

/**
 * What is asked before a person is asked to approve the mail. `not_configured` without a mail server or sender, and what
 * `fn::email_send` says of its input.
 */
export const emailCheck = defineFunction({
  id: 'fn::email_check',
  summary: 'Say whether fn::email_send could send this',
  input: Sendable,
  output: () => z.object({ ok: z.literal(true) }),
  effects: 'read',
  access: 'owner',
})

/**
 * Sends a draft, or a message given here. A draft is sent once: another call for it gets the recorded result, and so does
 * one with the idempotency key of an earlier send of the same caller; another message under it is `key_reused`. Where the
 * connection broke after the message had gone out and before the server confirmed it, this call and every later one for it
 * is `in_doubt`; nothing is sent again.
 */
export const emailSend = defineFunction({
  id: 'fn::email_send',
  summary: 'Send an e-mail: a draft by its id, or a message given in full',
  input: Sendable,
  output: () =>
    z.object({
      sent: z.literal(true),
      messageId: z.string(),
      accepted: z.array(z.string()),
      rejected: z.array(z.string()),
      /** The result of an earlier call; nothing was sent by this one. False for one that comes again under its own key. */
      repeated: z.boolean(),
    }),
  effects: 'external',
  keyed: true,
  checkedBy: 'fn::email_check',
  tool: true,
  access: 'agent',
})
