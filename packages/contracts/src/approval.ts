import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'

const SafeId = () => z.string().regex(/^[A-Za-z0-9_:.-]{1,256}$/, '1 to 256 letters, digits and _ - : .')
/** `*`, `ns::*` or the id of a function. */
const Pattern = () => z.string().min(1).max(256)
const Patterns = () => z.array(Pattern()).max(500)
export const EffectsClass = () => z.enum(['read', 'write', 'external'])

/** How long a request is open, and an approval usable, unless the policy says otherwise. Milliseconds. */
export const DEFAULT_TIMEOUT_MS = 300_000
/** Requests of one agent on behalf of one principal that may be pending at once: nobody takes the room of another. */
export const MAX_PENDING = 5

/** `pending` until it is decided or its time is over; an approval that nobody used in time is `timed_out` too. */
export const Status = () => z.enum(['pending', 'approved', 'denied', 'timed_out'])

const Principal = () => z.object({ kind: z.enum(['owner', 'guest', 'worker', 'system', 'agent']), id: z.string() })

export const Request = () =>
  z.object({
    /** `approval-<uuid v7>` */
    id: z.string(),
    realm: z.string(),
    agentId: z.string(),
    /** Who had the agent work, as the engine knows it; an approval is for this one's calls only. */
    onBehalfOf: Principal().optional(),
    toolName: z.string(),
    /** What the call would do to the world. */
    effects: EffectsClass(),
    /** What a person is shown of the input: without secrets and of bounded size. */
    params: z.unknown(),
    /** Something of the input is not in `params`: it was too long, or looks like a secret. */
    paramsCut: z.boolean(),
    /** SHA-256 of the canonical JSON of the whole input, 64 hex digits. An approval is for this input only, and for the
     *  agent, run, realm and principal (`onBehalfOf`) that it was asked for. */
    inputHash: z.string(),
    reason: z.string(),
    runId: z.string().optional(),
    sessionId: z.string().optional(),
    /** Worker, kind of trigger, or `client`, that made the call. */
    requestedBy: z.string(),
    /** No model chose the call: a function that a model chose makes it. */
    below: z.boolean().optional(),
    /** Epoch milliseconds, like every time here. */
    createdAt: z.number().int(),
    timeoutMs: z.number().int(),
    /** Until then it can be decided; after an approval, until then it can be used. */
    expiresAt: z.number().int(),
    status: Status(),
    /** Who decided, as the engine knows it. */
    decidedBy: z.string().optional(),
    decidedAt: z.number().int().optional(),
    /** What the decider gave as `reason`. */
    decisionReason: z.string().optional(),
    /** What the decider called himself in the input; it proves nothing. */
    decidedByNote: z.string().optional(),
    /** When a call was let through with it; there is no second. */
    usedAt: z.number().int().optional(),
  })
export type Request = z.output<ReturnType<typeof Request>>

/**
 * Asked by the engine alone, before it dispatches a call of an agent. An approval is used up by the answer that lets the
 * call through. With a `requestId` alone it says what became of that request, and changes nothing: so a run asks before it
 * takes silence for a refusal. Errors: `approval_denied`, `overloaded` (`details` {pending, max}: too many requests of
 * the agent are pending), `forbidden` for everybody else who asks.
 */
export const gate = defineFunction({
  id: 'approval::gate',
  summary: 'Say whether a call of an agent may go on now, and open a request where it may not',
  input: () =>
    z.union([
      z.strictObject({ requestId: z.string().min(1).max(512) }),
      z.object({
        agentId: z.string().min(1).max(512),
        onBehalfOf: Principal().optional(),
        functionId: z.string().min(1).max(512),
        effects: EffectsClass(),
        input: z.unknown().optional(),
        runId: z.string().max(512).optional(),
        sessionId: z.string().max(512).optional(),
        requestedBy: z.string().max(512).default('client'),
        below: z.boolean().default(false),
      }),
    ]),
  output: () =>
    z.union([
      z.object({ allow: z.literal(true), requestId: z.string().optional() }),
      z.object({ allow: z.literal(false), requestId: z.string(), expiresAt: z.number().int() }),
      z.object({ pending: z.literal(true), expiresAt: z.number().int() }),
      z.object({ decision: z.string(), reason: z.string().optional() }),
    ]),
  effects: 'write',
  access: 'owner',
})

/**
 * Asks as the gate would, and uses nothing up. A request for the same input that is open is found again. `agentId` is
 * taken from who may name others (the owner, and the worker that runs agents); else `forbidden`.
 */
export const check = defineFunction({
  id: 'approval::check',
  summary: 'Say whether a call of an agent needs an approval, and open a request where it does',
  input: () => z.object({ agentId: SafeId(), toolName: z.string().min(1).max(512), params: z.unknown().default({}) }),
  output: () =>
    z.union([
      z.object({ required: z.literal(false) }),
      z.object({
        required: z.literal(true),
        approved: z.boolean(),
        status: Status(),
        requestId: z.string(),
        expiresAt: z.number().int(),
      }),
    ]),
  effects: 'write',
  access: 'owner',
})

/**
 * Decides once, as the owner: by the owner's token or a session of the page, never as a guest or an agent. A worker decides
 * nothing by itself either; but a channel that the setting `channels` of the worker approval names may pass on what an
 * owner decided there, who is `person`.
 * Errors: `not_found`, `conflict` (decided already; `details.status`), `approval_expired`, `forbidden`.
 */
export const decide = defineFunction({
  id: 'approval::decide',
  summary: 'Approve or deny what an agent wants to do',
  input: () =>
    z.object({
      requestId: SafeId(),
      agentId: SafeId().optional(),
      decision: z.enum(['approve', 'deny']),
      /** Kept as a note. Who decides is known from the call. */
      decidedBy: z.string().max(256).optional(),
      /** Who decided in a channel, by the channel's own account of them; refused from everybody but a channel. */
      person: z.object({ id: z.string().min(1).max(128), name: z.string().max(200).optional() }).optional(),
      /** Told to the agent after a denial. */
      reason: z.string().max(1_000).optional(),
    }),
  output: () => z.object({ requestId: z.string(), status: z.enum(['approved', 'denied']) }),
  http: 'POST /v1/approvals/decide',
  effects: 'write',
  access: 'owner',
})

/** Newest first. What is over stays for a week. */
export const list = defineFunction({
  id: 'approval::list',
  summary: 'List requests for approval of this realm',
  input: () =>
    z.object({
      agentId: SafeId().optional(),
      status: z.string().max(64).optional(),
      limit: z.number().int().positive().max(1_000).default(200),
    }),
  output: () => z.array(Request()),
  http: 'GET /v1/approvals',
  effects: 'read',
  access: 'owner',
})

/** Answers when the request is no longer pending, or after `timeoutMs` with what it then is; 0 only looks. */
export const wait = defineFunction({
  id: 'approval::wait',
  summary: 'Wait for the decision about a request',
  input: () =>
    z.object({
      requestId: SafeId(),
      agentId: SafeId().optional(),
      timeoutMs: z.number().int().min(0).max(60_000).default(20_000),
    }),
  /** `decision` is the request, present unless it is pending. */
  output: () =>
    z.union([
      z.object({ status: z.literal('not_found') }),
      z.object({ status: Status(), requestId: z.string(), decision: Request().optional() }),
    ]),
  http: 'POST /v1/approvals/wait',
  effects: 'read',
  access: 'owner',
})

const PolicyFields = () => ({
  /** Always ask for these, whatever they do. */
  tools: Patterns(),
  /** Ask for functions with these effects. */
  effects: z.array(EffectsClass()).max(3),
  /** Never ask for these, by exact case; `tools` goes before. */
  allow: Patterns(),
  timeoutMs: z.number().int().min(1).max(604_800_000),
})
export const Policy = () => z.object(PolicyFields())
export type Policy = z.output<ReturnType<typeof Policy>>

/** The policy in force: the agent's own, else the realm's, else that of this release. */
export const policy = defineFunction({
  id: 'approval::policy',
  summary: 'Read which calls of agents need an approval',
  input: () => z.object({ agentId: SafeId().optional() }),
  output: () => z.object({ ...PolicyFields(), source: z.enum(['agent', 'realm', 'default']) }),
  http: 'GET /v1/approvals/policy',
  effects: 'read',
  access: 'owner',
})

/**
 * Replaces the policy of this realm, or of one agent in it, as the owner. What is not given takes its default: so an empty
 * list still asks for everything `external`; `effects: []` switches that off. Every change is audited.
 */
export const setPolicy = defineFunction({
  id: 'approval::set_policy',
  summary: 'Set which calls of agents need an approval',
  input: () =>
    z.object({
      tools: Patterns().default([]),
      effects: z.array(EffectsClass()).max(3).default(['external']),
      allow: Patterns().default([]),
      timeoutMs: z.number().int().min(1).max(604_800_000).default(DEFAULT_TIMEOUT_MS),
      /** Only for this agent, in place of the realm's. */
      agentId: SafeId().optional(),
      /** Forgets the policy instead, so that the wider one is in force. */
      clear: z.boolean().default(false),
    }),
  output: () => z.object({ updated: z.literal(true) }),
  http: 'POST /v1/approvals/policy',
  effects: 'write',
  idempotent: true,
  access: 'owner',
})
