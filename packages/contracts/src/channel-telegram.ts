import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'

const Id = () => z.string().min(1).max(128)
/** `<chat id>`, or `<chat id>/<thread id>` for a topic of a group. A private chat has the id of its user. */
const ConversationId = () =>
  z.string().regex(/^-?\d{1,20}(\/\d{1,20})?$/, 'a conversation looks like 12345 or -100123/7')
const AgentId = () => z.string().min(1).max(128)
export const Role = () => z.enum(['owner', 'user'])

/** `in_doubt`: the request went out and its answer was lost. It is not sent again before somebody says so. */
export const OutboxState = () => z.enum(['pending', 'sending', 'sent', 'failed', 'in_doubt'])

/** A message on its way out. Times are epoch milliseconds. */
export const OutboxMessage = () =>
  z.object({
    id: z.string(),
    conversation: z.string(),
    text: z.string(),
    state: OutboxState(),
    /** Telegram's id, once it is sent. */
    messageId: z.string().nullable(),
    /** Why it waits, failed or is in doubt. */
    reason: z.string().nullable(),
    createdAt: z.number().int(),
    updatedAt: z.number().int(),
  })

/** The protocol's request object, as far as it is needed. */
const WebhookRequest = () => z.looseObject({ headers: z.record(z.string(), z.string()), body: z.unknown() })

/**
 * Telegram's delivery. 401 without the secret of `setWebhook` in its header; 200 when the update is on disk. An update
 * that comes again is answered with 200 and has no effect.
 */
export const webhook = defineFunction({
  id: 'channel::telegram::webhook',
  summary: 'Take an update of the Telegram Bot API',
  input: WebhookRequest,
  output: () =>
    z.object({
      status_code: z.number().int(),
      body: z.union([z.object({ ok: z.literal(true) }), z.object({ error: z.string() })]),
    }),
  http: { route: 'POST /webhook/telegram', raw: true },
  effects: 'write',
  idempotent: true,
})

/** A job of the queue: one update, in order with the others of its lane. */
export const receive = defineFunction({
  id: 'channel::telegram::receive',
  summary: 'Handle a stored update',
  input: () => z.strictObject({ lane: z.string(), event: z.looseObject({ update_id: z.number().int() }) }),
  output: () => z.object({ handled: z.boolean() }),
  effects: 'external',
  idempotent: true,
  access: 'owner',
})

const Outgoing = () =>
  z.strictObject({
    to: ConversationId().describe('Chat id, or <chat id>/<thread id>'),
    text: z.string().min(1).max(100_000).describe('Markdown'),
    /** Telegram's id of the message that this one answers. */
    replyTo: z.string().regex(/^\d+$/).nullish(),
  })

/** What is asked before a person is asked to approve the message: `not_configured` and `realm_mismatch` as of `send`. */
export const check = defineFunction({
  id: 'channel::telegram::check',
  summary: 'Say whether a message could be sent to Telegram',
  input: Outgoing,
  output: () => z.object({ ok: z.literal(true) }),
  effects: 'read',
  access: 'owner',
})

/**
 * On disk when it answers; Telegram's limits decide when it goes out. An agent reaches paired people alone. What comes
 * again under its caller's key is sent once; other input under it is `key_reused`.
 */
export const send = defineFunction({
  id: 'channel::telegram::send',
  summary: 'Send a message to a Telegram chat',
  input: Outgoing,
  /** Ids in the outbox, one for each message of up to 4096 characters. */
  output: () => z.object({ ids: z.array(z.string()) }),
  http: 'POST /v1/channels/telegram/send',
  effects: 'external',
  keyed: true,
  checkedBy: 'channel::telegram::check',
  access: 'agent',
  tool: true,
})

/**
 * Buttons under the question decide the request of the worker approval; only owners' presses count. Each asker asks about
 * a request once in a conversation; another text for it is `key_reused`.
 */
export const ask = defineFunction({
  id: 'channel::telegram::ask',
  summary: 'Ask the owners to approve a request',
  input: () =>
    z.strictObject({
      requestId: Id(),
      text: z.string().min(1).max(3_000),
      /** @default the private chat of each owner */
      to: ConversationId().nullish(),
    }),
  output: () => z.object({ ids: z.array(z.string()) }),
  effects: 'external',
  keyed: true,
  access: 'owner',
})

export const status = defineFunction({
  id: 'channel::telegram::status',
  summary: 'Whether Telegram is connected, and what is missing',
  input: () => z.strictObject({}),
  output: () =>
    z.object({
      /** `off`: settings are missing. */
      mode: z.enum(['off', 'polling', 'webhook']),
      /** The bot's user name, once Telegram has told it. */
      bot: z.string().nullable(),
      /** Settings that are missing. */
      missing: z.array(z.string()),
      /** What does not work at the moment, in words. */
      problem: z.string().nullable(),
      /** Messages that Telegram refused for good; `channel::telegram::outbox` says why. */
      failed: z.number().int(),
      inDoubt: z.number().int(),
      waiting: z.number().int(),
    }),
  http: 'GET /v1/channels/telegram',
  effects: 'read',
  access: 'owner',
})

export const outbox = defineFunction({
  id: 'channel::telegram::outbox',
  summary: 'Messages that are not sent, or those of one state',
  input: () => z.strictObject({ state: OutboxState().nullish() }),
  output: () => z.object({ messages: z.array(OutboxMessage()) }),
  http: 'GET /v1/channels/telegram/outbox',
  effects: 'read',
  access: 'owner',
})

/** `conflict` where the message is neither in doubt nor failed. */
export const resolve = defineFunction({
  id: 'channel::telegram::resolve',
  summary: 'Settle a message in doubt: send it again, or count it as received',
  input: () => z.strictObject({ id: Id(), as: z.enum(['resend', 'received']) }),
  output: OutboxMessage,
  http: 'POST /v1/channels/telegram/outbox/:id',
  effects: 'external',
  access: 'owner',
})

export const pairings = defineFunction({
  id: 'channel::telegram::pairings',
  summary: 'Who wrote and waits to be let in',
  input: () => z.strictObject({}),
  output: () =>
    z.object({
      pairings: z.array(
        z.object({ userId: z.string(), name: z.string(), code: z.string(), expiresAt: z.number().int() }),
      ),
    }),
  http: 'GET /v1/channels/telegram/pairings',
  effects: 'read',
  access: 'owner',
})

const MemberView = () => z.object({ userId: z.string(), name: z.string(), role: Role(), since: z.number().int() })

/** `not_found` where nobody waits with this code. */
export const approve = defineFunction({
  id: 'channel::telegram::approve',
  summary: 'Let in who has this pairing code',
  input: () => z.strictObject({ code: z.string().min(4).max(32), role: Role().default('user') }),
  output: MemberView,
  http: 'POST /v1/channels/telegram/pairings',
  effects: 'write',
  access: 'owner',
})

/** Those whom config.yaml lets in have no name and `since` 0. */
export const members = defineFunction({
  id: 'channel::telegram::members',
  summary: 'Who may write to the agent',
  input: () => z.strictObject({}),
  output: () => z.object({ members: z.array(MemberView()) }),
  http: 'GET /v1/channels/telegram/members',
  effects: 'read',
  access: 'owner',
})

/** `conflict` for those whom config.yaml lets in. */
export const revoke = defineFunction({
  id: 'channel::telegram::revoke',
  summary: 'Let somebody in no longer',
  input: () => z.strictObject({ userId: Id() }),
  output: () => z.object({ revoked: z.boolean() }),
  http: 'DELETE /v1/channels/telegram/members/:userId',
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

const Binding = () => z.object({ conversation: z.string(), agentId: z.string() })

export const bind = defineFunction({
  id: 'channel::telegram::bind',
  summary: 'Let an agent answer in a conversation',
  input: () => z.strictObject({ conversation: ConversationId(), agentId: AgentId() }),
  output: Binding,
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

export const unbind = defineFunction({
  id: 'channel::telegram::unbind',
  summary: 'Let the default agent answer in a conversation again',
  input: () => z.strictObject({ conversation: ConversationId() }),
  output: () => z.object({ conversation: z.string() }),
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

export const bindings = defineFunction({
  id: 'channel::telegram::bindings',
  summary: 'Conversations with an agent of their own',
  input: () => z.strictObject({}),
  output: () => z.object({ bindings: z.array(Binding()) }),
  http: 'GET /v1/channels/telegram/bindings',
  effects: 'read',
  access: 'owner',
})
