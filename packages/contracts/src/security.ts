import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'

const AgentId = () => z.string().min(1).max(128)

/** `ns::*`, `ns::fn` or `*`; a bare prefix `ns` is kept as `ns::*`. */
const Grant = () => z.string().min(1).max(256)

/** What an agent may use. `deny` wins over `tools`; `functions` is another name of `tools`, as agents have it. */
export const CapabilitiesInput = () =>
  z.object({
    tools: z.array(Grant()).max(500).nullish(),
    functions: z.array(Grant()).max(500).nullish(),
    deny: z.array(Grant()).max(500).nullish(),
    /** Tokens of one clock hour; 0 or nothing is no limit. `maxTokensPerHour` is the same. */
    max_tokens_per_hour: z.number().int().nonnegative().nullish(),
    maxTokensPerHour: z.number().int().nonnegative().nullish(),
  })

/** The stored record, grants in their full form. */
export const Capabilities = () =>
  z.object({
    tools: z.array(z.string()),
    deny: z.array(z.string()),
    max_tokens_per_hour: z.number().int().nullable(),
  })
export type Capabilities = z.output<ReturnType<typeof Capabilities>>

/**
 * Why a call is refused: `details.decision` of the errors `forbidden` and `quota_exceeded` of `check_capability`.
 * `no_capabilities`: there is no record. `denied`: `rule` is the deny rule. `not_granted`: no grant covers it.
 */
export const Refusal = () =>
  z.object({
    allowed: z.literal(false),
    agentId: z.string(),
    resource: z.string(),
    reason: z.enum(['no_capabilities', 'denied', 'not_granted', 'quota_exceeded']),
    rule: z.string().optional(),
    /** Tokens of this hour. */
    used: z.number().int().optional(),
    limit: z.number().int().optional(),
    /** Epoch milliseconds. */
    resetsAt: z.number().int().optional(),
  })
export type Refusal = z.output<ReturnType<typeof Refusal>>

/**
 * Refusals are errors: `forbidden` (with the decision in the details), `quota_exceeded`. They are audited, once for an
 * idempotency key; the use itself is counted by `add_usage` alone. Anybody of the realm may ask about any `agentId`; the entry
 * names that agent only where `audit` would believe it.
 */
export const checkCapability = defineFunction({
  id: 'security::check_capability',
  summary: "Allow or refuse an agent's use of a function, and enforce its hourly token quota",
  input: () =>
    z.object({
      agentId: AgentId(),
      /** Id of the function. */
      resource: z.string().min(1).max(256),
      /** Sent by older callers; the resource alone decides. */
      capability: z.string().optional(),
    }),
  /** `rule` is the grant that covers the resource. */
  output: () => z.object({ allowed: z.literal(true), rule: z.string() }),
  effects: 'read',
})

/** Replaces the record of an agent of this realm; `capabilities: null` takes everything away. */
export const setCapabilities = defineFunction({
  id: 'security::set_capabilities',
  summary: "Replace an agent's grants and its hourly token quota",
  input: () =>
    z.object({
      agentId: AgentId(),
      capabilities: CapabilitiesInput().nullable(),
      /** Writes only where the record has this version (0: there is none); else `version_conflict`. */
      expectedVersion: z.number().int().nonnegative().optional(),
    }),
  output: () => z.object({ updated: z.literal(true) }),
  effects: 'write',
  idempotent: true,
  keyed: true,
  access: 'owner',
})

export const getCapabilities = defineFunction({
  id: 'security::get_capabilities',
  summary: "Read an agent's grants and its hourly token quota",
  input: () => z.object({ agentId: AgentId() }),
  /** Null where the agent has no record. */
  output: () =>
    z
      .object({
        ...Capabilities().shape,
        version: z.number().int(),
        /** Tokens of this hour, and when the next begins (epoch milliseconds). */
        used: z.number().int(),
        resetsAt: z.number().int(),
      })
      .nullable(),
  effects: 'read',
})

/**
 * Counts tokens that an agent used against its quota of this hour; for the worker that runs the agent. An idempotency key is
 * recognized for a day, among the last 128 of the agent.
 */
export const addUsage = defineFunction({
  id: 'security::add_usage',
  summary: 'Count tokens that an agent used against its hourly quota',
  input: () => z.object({ agentId: AgentId(), tokens: z.number().int().nonnegative() }),
  output: () => z.object({ used: z.number().int(), resetsAt: z.number().int() }),
  effects: 'write',
  keyed: true,
  access: 'owner',
})

/** Types of entries that one worker of ours writes, and nobody else: which one. A new type of a worker is entered here. */
export const AUDIT_TYPES: Readonly<Record<string, 'security' | 'approval' | 'realm'>> = {
  capability_denied: 'security',
  quota_exceeded: 'security',
  capabilities_updated: 'security',
  approval_requested: 'approval',
  approval_granted: 'approval',
  approval_denied: 'approval',
  approval_expired: 'approval',
  approval_used: 'approval',
  approval_policy_changed: 'approval',
  realm_status: 'realm',
  realm_deleted: 'realm',
  realm_restored: 'realm',
  realm_purged: 'realm',
  realm_exported: 'realm',
  realm_imported: 'realm',
}

/**
 * Actor, realm and worker come from the call, never from the input; over the topic `audit` the actor is the topic itself. The
 * types of `AUDIT_TYPES` are taken from the worker that owns them alone (`forbidden`), in whatever spelling. The entry of a
 * guest, an agent or the topic has a type that says so: `guest:<type>`. `agentId` is believed from the owner, from installed
 * workers, and from that agent; what anybody else says stands in the entry as `claimed`. All guests together write 60 entries
 * a minute, over the topic too; then it is `rate_limited`.
 */
export const audit = defineFunction({
  id: 'security::audit',
  summary: 'Append an entry to the audit chain',
  input: () =>
    z.object({
      type: z
        .string()
        .regex(/^[a-z][a-z0-9_.:-]{0,63}$/i, 'a short name such as capability_denied')
        .nullish(),
      agentId: z.string().max(128).nullish(),
      /** Any JSON; secrets are redacted, and what is over 8 kB is cut down to a digest and a preview. */
      detail: z.unknown().optional(),
    }),
  output: () => z.object({ id: z.string(), hash: z.string(), sequence: z.number().int() }),
  effects: 'write',
  keyed: true,
})

/** Walks the whole chain: order, links, every hash, the stored head and count. */
export const verifyAudit = defineFunction({
  id: 'security::verify_audit',
  summary: 'Recompute the audit chain and compare it with its head',
  input: () => z.object({}),
  output: () =>
    z.object({
      valid: z.boolean(),
      entries: z.number().int(),
      /** One sentence each, at most 100. */
      violations: z.array(z.string()),
      /** Names the key without giving it away. */
      keyId: z.string(),
    }),
  http: 'GET /v1/security/audit/verify',
  effects: 'read',
  access: 'owner',
})

/** Where a text comes from: the less it is trusted, the lower the threshold. */
export const TextSource = () => z.enum(['user', 'web', 'tool', 'memory'])

export const scanInjection = defineFunction({
  id: 'security::scan_injection',
  summary: 'Scan a text for prompt injection',
  input: () =>
    z.object({
      text: z.string().max(1_000_000).default(''),
      source: TextSource().default('user'),
    }),
  output: () =>
    z.object({
      /** Nothing matched. */
      safe: z.boolean(),
      /** Rule ids such as `override.ignore`, each once. */
      matches: z.array(z.string()),
      /** 0 to 1: the sum of the weights of the rules that matched. */
      riskScore: z.number().min(0).max(1),
      /** Whether the score is over the threshold of the source. */
      flagged: z.boolean(),
      threshold: z.number(),
      /** Per match: its family, its weight, and through which encodings it was found (`base64`, `rot13`, …). */
      findings: z.array(
        z.object({ rule: z.string(), family: z.string(), weight: z.number(), decoded: z.array(z.string()) }),
      ),
    }),
  http: 'POST /v1/security/scan',
  effects: 'read',
  idempotent: true,
})
