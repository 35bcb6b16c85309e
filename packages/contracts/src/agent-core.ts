import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'
import { answerOptions } from './answer-options.ts'
import { Grant } from './grant.ts'
import { Exhausted } from './ledger.ts'
import { FilePart, ImagePart, Message, TextPart } from './message.ts'

const AGENT_ID = /^[\p{L}\p{N}][\p{L}\p{N}_.:-]{0,127}$/u
const AGENT_ID_RULE = 'Use 1 to 128 letters, digits, hyphens, underscores, dots or colons'

/**
 * Letters, digits, `-`, `_`, `.` and `:`; what callers choose themselves is kept as it is. The pattern is no part of the
 * JSON Schema: a pattern there has no flags, and without `u` this one would refuse every id.
 */
export const AgentId = () =>
  z
    .string()
    .min(1, AGENT_ID_RULE)
    .max(128, AGENT_ID_RULE)
    .refine((id) => AGENT_ID.test(id), AGENT_ID_RULE)

/** What the agent may use. `functions` are grants; `deny` wins over them. */
export const Capabilities = () =>
  z.strictObject({
    functions: z.array(Grant()).max(500),
    deny: z.array(Grant()).max(500).nullish(),
    memoryScopes: z.array(z.string()).nullish(),
    networkHosts: z.array(z.string()).nullish(),
  })

export const AgentModel = () =>
  z.strictObject({
    provider: z.string().nullish(),
    model: z.string().nullish(),
    maxTokens: z.number().int().positive().nullish(),
  })

const agentFields = () => ({
  name: z.string().min(1).max(200),
  description: z.string().max(4_000).nullish(),
  model: AgentModel().nullish(),
  systemPrompt: z.string().max(100_000).nullish(),
  capabilities: Capabilities().nullish(),
  resources: z.strictObject({ maxTokensPerHour: z.number().int().nonnegative().nullish() }).nullish(),
  tags: z.array(z.string().max(64)).max(50).nullish(),
})

export const AgentStatus = () => z.enum(['active', 'paused', 'terminated'])

/** Absent options are null; times are epoch milliseconds. */
export const Agent = () =>
  z.object({
    id: z.string(),
    name: z.string(),
    description: z.string().nullable(),
    model: AgentModel().nullable(),
    systemPrompt: z.string().nullable(),
    capabilities: Capabilities(),
    resources: z.object({ maxTokensPerHour: z.number().nullish() }).nullable(),
    tags: z.array(z.string()),
    status: AgentStatus(),
    version: z.number().int(),
    createdAt: z.number().int(),
    updatedAt: z.number().int(),
  })

export type Agent = z.output<ReturnType<typeof Agent>>

export const health = defineFunction({
  id: 'health::check',
  summary: 'Report that the runtime is up, with a count of connected workers',
  input: () => z.looseObject({}),
  output: () =>
    z.object({ status: z.literal('healthy'), version: z.string(), workers: z.number().int(), uptime: z.number() }),
  http: 'GET /v1/health',
  effects: 'read',
})

/** Refuses an id that exists with `conflict`. Guests create agents with the default grants; others need the owner. */
export const create = defineFunction({
  id: 'agent::create',
  summary: 'Create an agent with its grants',
  input: () => z.strictObject({ id: AgentId().optional(), ...agentFields() }),
  output: () => z.object({ agentId: z.string() }),
  http: { route: 'POST /v1/agents', status: 201 },
  effects: 'write',
})

export const get = defineFunction({
  id: 'agent::get',
  summary: 'Fetch an agent',
  input: () => z.strictObject({ agentId: AgentId() }),
  output: Agent,
  http: 'GET /v1/agents/:agentId',
  effects: 'read',
})

/** Fields that are left out stay; `expectedVersion` makes it compare-and-set (`version_conflict`). */
export const update = defineFunction({
  id: 'agent::update',
  summary: "Change an agent's settings, grants or status",
  input: () =>
    z.strictObject({
      agentId: AgentId(),
      ...z.object(agentFields()).partial().shape,
      status: AgentStatus().optional(),
      expectedVersion: z.number().int().positive().optional(),
    }),
  output: Agent,
  http: 'PATCH /v1/agents/:agentId',
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

export const list = defineFunction({
  id: 'agent::list',
  summary: 'List the agents of the realm',
  input: () => z.strictObject({}),
  output: () => z.array(Agent()),
  http: 'GET /v1/agents',
  effects: 'read',
})

/** Its grants go at once, its memories and sessions with it. */
export const remove = defineFunction({
  id: 'agent::delete',
  summary: 'Delete an agent with its grants, memories and sessions',
  input: () => z.strictObject({ agentId: AgentId() }),
  output: () => z.object({ deleted: z.literal(true) }),
  http: 'DELETE /v1/agents/:agentId',
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

export const AgentFunction = () =>
  z.object({
    id: z.string(),
    description: z.string(),
    worker: z.string(),
    effects: z.string(),
    inputSchema: z.record(z.string(), z.unknown()),
  })

export type AgentFunction = z.output<ReturnType<typeof AgentFunction>>

export const listFunctions = defineFunction({
  id: 'agent::list_functions',
  summary: 'List the functions that an agent may use, by its grants',
  input: () => z.strictObject({ agentId: AgentId().default('default') }),
  output: () => z.array(AgentFunction()),
  http: 'GET /v1/agents/:agentId/functions',
  effects: 'read',
  tool: true,
})

export const findFunctions = defineFunction({
  id: 'agent::find_functions',
  summary: 'Find functions by what they do, among those that the agent may use',
  input: () =>
    z.strictObject({
      query: z.string().min(1).max(500).describe('What the function should do, in a few words'),
      agentId: AgentId().optional(),
      limit: z.number().int().positive().max(40).default(10),
    }),
  output: () => z.object({ functions: z.array(AgentFunction()) }),
  effects: 'read',
  tool: true,
})

const StreamRef = () =>
  z.object({ channel_id: z.string(), access_key: z.string(), direction: z.enum(['read', 'write']) })

/**
 * Why the loop ended. `max_rounds`, `max_tokens` and `timeout` are limits of this chat, `length` the model's own;
 * `budget_exceeded`: the answer was cut off where the money ended.
 * `waiting`: it has not ended; its run waits for a person and goes on by itself.
 */
export const StopReason = () =>
  z.enum([
    'stop',
    'length',
    'budget_exceeded',
    'content_filter',
    'interrupted',
    'max_rounds',
    'max_tokens',
    'timeout',
    'waiting',
    'other',
  ])

export const ToolCallReport = () =>
  z.object({
    callId: z.string(),
    id: z.string(),
    arguments: z.record(z.string(), z.unknown()),
    ok: z.boolean(),
    durationMs: z.number().int(),
    error: z.object({ code: z.string(), message: z.string() }).optional(),
  })

export type ToolCallReport = z.output<ReturnType<typeof ToolCallReport>>

/** Totals over all rounds. */
export const ChatUsage = () =>
  z.object({
    input: z.number().int(),
    output: z.number().int(),
    total: z.number().int(),
    cached: z.number().int(),
    reasoning: z.number().int(),
  })

/**
 * Runs one message through the agent loop. As a stream it sends `session` {sessionId, runId, agentId}, `text` and
 * `reasoning` {text}, `toolCall` {callId, id, arguments}, `toolResult` {callId, id, ok, durationMs, error?}, `usage`, and `restart` where the
 * model is asked again after a crash: what came since the last `toolResult` is void then. A call that joins a run by its
 * idempotency key is told the same from the beginning, each answer of the model whole and as soon as it is recorded.
 * `agentId` and `sessionId` are to whom one talks, and where: what the chat costs is theirs and its run's. What the agent does
 * is done in its name on behalf of who calls.
 * An agent that is made for its first chat is there from the model's first answer on; a failure after that has
 * `agentCreated: true` in its details.
 * Errors: `not_found` (agent), `conflict` (paused or terminated), `session_busy`, `quota_exceeded` (no room for a new agent), those of
 * `llm::complete`, `cancelled`.
 */
export const chat = defineFunction({
  id: 'agent::chat',
  summary: 'Send a message to an agent and get its answer',
  input: () =>
    z.strictObject({
      agentId: AgentId().default('default'),
      message: z.string().min(1).max(1_000_000),
      sessionId: z.string().min(1).max(256).nullish(),
      /** The message in parts, where it holds more than text: the model reads these, `message` is what is recalled by. */
      content: z
        .array(z.discriminatedUnion('type', [TextPart(), ImagePart(), FilePart()]))
        .min(1)
        .max(1_000)
        .nullish(),
      /** What was said before, told by a caller that keeps the conversation itself. The session's own is not read then. */
      history: z
        .array(Message().extend({ role: z.enum(['user', 'assistant', 'tool']) }))
        .max(10_000)
        .nullish(),
      /** In place of the agent's own prompt. */
      systemPrompt: z.string().max(100_000).nullish(),
      /** What the caller asks for besides, in a marked block below the prompt. */
      system: z.string().max(100_000).nullish(),
      provider: z.string().nullish(),
      model: z.string().nullish(),
      /** Narrows the agent's grants for this chat, never widens them. */
      functions: z.array(z.string().min(1).max(256)).max(500).nullish(),
      ...answerOptions(),
      /** Of one answer of the model; never more than the agent's own `model.maxTokens`. `maxTokens` is for the whole chat. */
      maxOutputTokens: z.number().int().positive().nullish(),
      /** False: an agent that is not there is an error also where one would be made. */
      create: z.boolean().nullish(),
      maxIterations: z.number().int().positive().max(50).nullish(),
      maxTokens: z.number().int().positive().nullish(),
      timeoutMs: z.number().int().positive().max(3_600_000).nullish(),
      stream: z.union([z.literal(false), StreamRef()]).nullish(),
    }),
  output: () =>
    z.object({
      content: z.string(),
      /** `provider/model` that answered last. */
      model: z.string().nullable(),
      usage: ChatUsage().nullable(),
      cost: z.object({ microUsd: z.number().int().nullable(), priced: z.boolean() }),
      /** Tool rounds done. */
      iterations: z.number().int(),
      durationMs: z.number().int(),
      sessionId: z.string(),
      runId: z.string(),
      agentId: z.string(),
      /** There was no such agent, and there is one now. */
      agentCreated: z.boolean().optional(),
      stopReason: StopReason(),
      /** The budget that cut the answer off, where `stopReason` is `budget_exceeded`. */
      budget: Exhausted().optional(),
      toolCalls: z.array(ToolCallReport()),
    }),
  http: [
    { route: 'POST /v1/chat', stream: true },
    { route: 'POST /v1/agents/:agentId/message', stream: true },
  ],
  effects: 'external',
  durable: true,
})

/** Stops a chat that runs, wherever it is; its caller gets `cancelled`. A guest stops what he began; for others it is as if absent. */
export const cancel = defineFunction({
  id: 'agent::cancel',
  summary: 'Stop a running chat',
  input: () => z.strictObject({ runId: z.string().min(1) }),
  output: () => z.object({ cancelled: z.boolean() }),
  http: 'POST /v1/chat/:runId/cancel',
  effects: 'write',
  idempotent: true,
})
