import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'
import { Message } from './message.ts'
import { RepairStats, SessionInfo, SessionSummary, TranscriptMessage } from './transcript.ts'

export { RepairStats, SessionInfo, SessionSummary, TranscriptMessage } from './transcript.ts'

/**
 * Whose memory it is about, not for whom the caller speaks. Absent: the agent that calls, else `default`. An agent reaches
 * only its own memory (`forbidden`); who is in the realm without being an agent reaches those of all its agents.
 */
const agent = () => z.string().min(1).max(200).optional().describe('Whose memory; yours when left out')
const Session = () => z.string().min(1).max(256)
const Importance = () => z.number().min(0).max(1)
const Tags = () => z.array(z.string().min(1).max(64)).max(50)
const Count = () => z.number().int().nonnegative()
const Time = () => z.number().int().describe('epoch milliseconds')

export const MemoryType = () => z.enum(['observation', 'fact', 'preference', 'correction', 'summary'])

/** A memory as it is stored and read, in one shape. */
export const Memory = () =>
  z.object({
    id: z.string(),
    agentId: z.string(),
    content: z.string(),
    role: z.string(),
    type: MemoryType(),
    tags: z.array(z.string()),
    sessionId: z.string().nullable(),
    /** 0 to 1. */
    importance: z.number(),
    /** 0 to 1; falls while nobody reads the memory, rises when the same is stored again. */
    confidence: z.number(),
    timestamp: Time(),
    accessCount: Count(),
    lastAccessed: Time(),
    /** SHA-256 of role and content, where case and spacing do not count; hex. */
    hash: z.string(),
    /** Never evicted, never decays. */
    pinned: z.boolean(),
    expiresAt: Time().optional(),
    /** Where it came from. */
    provenance: z.object({ source: z.string().optional(), run: z.string().optional() }).optional(),
    /** The older version that this one replaced. */
    supersedes: z.string().optional(),
    /** The newer version; a memory that has one is found by id only. */
    supersededBy: z.string().optional(),
    /** Memories of the same text that were merged into it. */
    mergedFrom: z.array(z.string()).optional(),
    /** Earlier memories that say something similar, most similar first; some may be gone by now. */
    similarTo: z.array(z.string()).optional(),
    /** Something that looked like a secret was cut out before it was stored. */
    redacted: z.boolean().optional(),
  })

export type Memory = z.output<ReturnType<typeof Memory>>

/** What narrows a search or a list; all given filters have to hold. */
const filters = () => ({
  sessionId: Session().nullish(),
  role: z.string().max(64).nullish(),
  type: MemoryType().nullish(),
  tags: Tags().nullish().describe('All of them'),
  since: Time().nullish(),
  until: Time().nullish(),
})

const Hit = () =>
  z.object({
    id: z.string(),
    role: z.string(),
    content: z.string(),
    /** 0 to 1. */
    score: z.number(),
    timestamp: Time(),
  })

export const MemoryHit = () =>
  Hit().extend({
    type: MemoryType(),
    tags: z.array(z.string()),
    sessionId: z.string().nullable(),
    importance: z.number(),
    pinned: z.boolean(),
  })

export type MemoryHit = z.output<ReturnType<typeof MemoryHit>>

/**
 * Remembers a text. Strings that look like API keys, tokens or passwords are cut out first. The same text of the same
 * role, equal but for case and spacing, strengthens the memory that is there; under one idempotency key it does so
 * once, which is why this is keyed and not idempotent. What is only similar is stored and linked (`similarTo`). Errors:
 * `invalid_input` (nothing to store), `forbidden` (another agent's memory).
 */
export const store = defineFunction({
  id: 'memory::store',
  summary: 'Remember a text for later, unless it is known already',
  input: () =>
    z.object({
      agentId: agent(),
      content: z.string().max(200_000).default('').describe('What to remember, as one self-contained sentence'),
      role: z.string().max(64).default('user'),
      sessionId: Session().nullish(),
      type: MemoryType().default('observation'),
      tags: Tags().default(() => []),
      /** Estimated from the text where absent. */
      importance: Importance().nullish(),
      pinned: z.boolean().default(false),
      ttlMs: z.number().int().positive().nullish(),
      source: z.string().max(200).nullish(),
    }),
  output: () =>
    z.union([
      z.object({
        id: z.string(),
        stored: z.literal(true),
        redacted: z.boolean().optional(),
        /** Ids of earlier memories that say something similar, most similar first. */
        similarTo: z.array(z.string()).optional(),
      }),
      z.object({ deduplicated: z.literal(true), id: z.string() }),
    ]),
  http: 'POST /v1/memory',
  effects: 'write',
  keyed: true,
  tool: true,
})

/**
 * With a query of small words only, the newest and most important memories. Beside the answer the use of what was found is
 * counted, once for an idempotency key: bookkeeping, like the cost of a model call, and no effect of the call.
 */
export const recall = defineFunction({
  id: 'memory::recall',
  summary: 'Recall what is known about something, best first',
  input: () =>
    z.object({
      agentId: agent(),
      query: z.string().max(20_000).default(''),
      limit: z.number().int().nonnegative().max(200).default(10),
      ...filters(),
    }),
  output: () => z.array(Hit()),
  effects: 'read',
  tool: true,
})

/** BM25 over stemmed words, lifted by recency, importance and use; each text is shown once. */
export const search = defineFunction({
  id: 'memory::search',
  summary: 'Search the memories of an agent, best matches first',
  input: () =>
    z.object({
      agentId: agent(),
      query: z.string().max(20_000).default(''),
      limit: z.number().int().positive().max(200).default(10),
      /** Hits below this score are left out; 0.2 where the query has words to look for. */
      minScore: z.number().min(0).max(1).nullish(),
      ...filters(),
    }),
  output: () => z.array(MemoryHit()),
  http: 'GET /v1/memory/search',
  effects: 'read',
  tool: true,
})

/** Errors: `not_found`. */
export const get = defineFunction({
  id: 'memory::get',
  summary: 'Fetch one memory with its lineage',
  input: () => z.object({ agentId: agent(), id: z.string().min(1) }),
  output: Memory,
  http: 'GET /v1/memory/:id',
  effects: 'read',
})

/** Newest first. `next` goes into `after` for the next page. */
export const list = defineFunction({
  id: 'memory::list',
  summary: 'List the memories of an agent, newest first',
  input: () =>
    z.object({
      agentId: agent(),
      limit: z.number().int().positive().max(500).default(50),
      after: z.string().nullish(),
      ...filters(),
    }),
  output: () => z.object({ memories: z.array(Memory()), total: Count(), next: z.string().optional() }),
  http: 'GET /v1/memory',
  effects: 'read',
})

/** New content makes a new memory that supersedes the old one; everything else is changed in place. */
export const update = defineFunction({
  id: 'memory::update',
  summary: 'Correct a memory; the older version stays reachable by its id',
  input: () =>
    z.object({
      agentId: agent(),
      id: z.string().min(1),
      content: z.string().min(1).max(200_000).optional(),
      type: MemoryType().optional(),
      tags: Tags().optional(),
      importance: Importance().optional(),
      confidence: Importance().optional(),
      pinned: z.boolean().optional(),
      /** null: never. */
      expiresAt: Time().nullable().optional(),
    }),
  output: () => z.object({ id: z.string(), updated: z.literal(true), supersedes: z.string().optional() }),
  http: 'PATCH /v1/memory/:id',
  effects: 'write',
  keyed: true,
})

/**
 * By `id`, or the best matches of `query`; the older versions of a memory go with it. Not idempotent: a query with a limit
 * finds the next best when it is asked again.
 */
export const forget = defineFunction({
  id: 'memory::forget',
  summary: 'Forget one memory by its id, or those that match a query',
  input: () =>
    z.object({
      agentId: agent(),
      id: z.string().min(1).optional(),
      query: z.string().min(1).max(20_000).optional(),
      limit: z.number().int().positive().max(200).default(10).describe('At most this many, with query'),
      minScore: z.number().min(0).max(1).default(0.5),
      dryRun: z.boolean().default(false).describe('Only say what would be forgotten'),
    }),
  output: () =>
    z.object({
      forgotten: Count(),
      dryRun: z.boolean(),
      memories: z.array(z.object({ id: z.string(), content: z.string() })),
    }),
  http: ['DELETE /v1/memory/:id', 'POST /v1/memory/forget'],
  effects: 'write',
  keyed: true,
  tool: true,
})

export const EvictionReason = () => z.enum(['expired', 'superseded', 'untrusted', 'stale', 'over_cap'])

/** Deletes in one ordered plan what is expired, untrusted or stale, then the least worth keeping above the cap. */
export const evict = defineFunction({
  id: 'memory::evict',
  summary: 'Delete stale memories and keep each agent under its cap',
  input: () =>
    z.object({
      /** Absent: every agent of the realm. */
      agentId: z.string().min(1).max(200).optional(),
      maxAge: Count().default(2_592_000_000).describe('milliseconds'),
      minImportance: Importance().default(0.2),
      cap: Count().default(10_000),
      dryRun: z.boolean().default(false),
    }),
  output: () =>
    z.object({
      evicted: Count(),
      dryRun: z.boolean(),
      /** The first 1,000, in the order of the plan. */
      plan: z.array(z.object({ agentId: z.string(), id: z.string(), reason: EvictionReason(), retention: z.number() })),
    }),
  effects: 'write',
  idempotent: true,
})

export const consolidate = defineFunction({
  id: 'memory::consolidate',
  summary: 'Lower the confidence of memories that nobody read for a week, and merge memories of the same text',
  input: () => z.object({ agentId: z.string().min(1).max(200).optional(), decayRate: Importance().default(0.05) }),
  output: () => z.object({ memoriesDecayed: Count(), memoriesMerged: Count(), durationMs: Count() }),
  effects: 'write',
})

const EntityId = () => z.string().min(1).max(200)
const Relation = () =>
  z.looseObject({
    target: EntityId(),
    type: z.string().min(1).max(100),
    /** Id of the memory it was learnt from; the relation goes when that is evicted or forgotten. */
    source: z.string().optional(),
  })

/** Relations to this entity appear on it as `inverse:<type>`. */
export const Entity = () =>
  z.looseObject({ id: z.string(), relations: z.array(z.looseObject({ target: z.string(), type: z.string() })) })

export type Entity = z.output<ReturnType<typeof Entity>>

/** Merges into an entity that is there: given fields replace, others and all relations stay. */
export const kgAdd = defineFunction({
  id: 'memory::kg::add',
  summary: 'Add an entity and its relations to the knowledge graph',
  input: () =>
    z.object({
      agentId: agent(),
      entity: z.looseObject({
        id: EntityId(),
        relations: z
          .array(Relation())
          .max(500)
          .default(() => []),
      }),
    }),
  output: () => z.object({ stored: z.literal(true), id: z.string() }),
  effects: 'write',
  idempotent: true,
  keyed: true,
})

/** Breadth first, each entity once, nearest first; null for a target that was never added. Depth 0 gives []. */
export const kgQuery = defineFunction({
  id: 'memory::kg::query',
  summary: 'Collect the entities reachable from one entity',
  input: () =>
    z.object({
      agentId: agent(),
      entityId: EntityId(),
      depth: Count().max(20).default(2),
      /** Only along these types; `inverse:<type>` goes against the arrow. */
      relations: z.array(z.string()).max(50).nullish(),
      /** At most this many new entities a level. */
      perDepth: z.number().int().positive().max(1_000).default(100),
    }),
  output: () => z.array(Entity().nullable()),
  effects: 'read',
})

/** With `target` only the relation(s) between the two, else the entity with all its relations. */
export const kgRemove = defineFunction({
  id: 'memory::kg::remove',
  summary: 'Remove an entity or a relation from the knowledge graph',
  input: () =>
    z.object({
      agentId: agent(),
      entityId: EntityId(),
      target: EntityId().optional(),
      type: z.string().min(1).max(100).optional(),
    }),
  output: () => z.object({ removed: z.boolean(), relations: Count() }),
  effects: 'write',
  idempotent: true,
  keyed: true,
})

export const sessionList = defineFunction({
  id: 'memory::session::list',
  summary: 'List the sessions of an agent, last used first',
  input: () => z.object({ agentId: agent(), limit: z.number().int().positive().max(1_000).default(100) }),
  output: () => z.array(SessionInfo()),
  http: 'GET /v1/sessions',
  effects: 'read',
})

/**
 * Appends in the order given; appends of several callers never mix or collide. With `expectedSequence` only where
 * that is the highest so far, else `version_conflict`. Messages of another role than `user` are what an agent said or was
 * told by a function: only the worker that runs agents and the owner append them (`forbidden`).
 */
export const sessionAppend = defineFunction({
  id: 'memory::session::append',
  summary: 'Append messages to the transcript of a session',
  input: () =>
    z.object({
      agentId: agent(),
      sessionId: Session(),
      messages: z.array(Message()).min(1).max(1_000),
      expectedSequence: Count().optional(),
    }),
  output: () =>
    z.object({
      sessionId: z.string(),
      /** Of the last message. */
      sequence: z.number().int().positive(),
      messageCount: Count(),
      ids: z.array(z.string()),
    }),
  effects: 'write',
  keyed: true,
})

/** A session that is not there has no messages. */
export const sessionGet = defineFunction({
  id: 'memory::session::get',
  summary: 'Read the transcript of a session in order, after its summary',
  input: () =>
    z.object({
      agentId: agent(),
      sessionId: Session(),
      /** The newest this many. */
      limit: z.number().int().positive().max(10_000).nullish(),
      /** From the very first message on, the compacted ones included. */
      archived: z.boolean().default(false),
    }),
  output: () =>
    z.object({
      sessionId: z.string(),
      agentId: z.string(),
      messages: z.array(TranscriptMessage()),
      messageCount: Count(),
      sequence: Count(),
      /** Stands before `messages`. */
      summary: SessionSummary().optional(),
      /** Ranges of sequences that summaries or repairs replaced. */
      archive: z.array(
        z.object({ from: z.number().int(), through: z.number().int(), summaryId: z.string().optional() }),
      ),
    }),
  http: 'GET /v1/sessions/:sessionId',
  effects: 'read',
})

export const sessionDelete = defineFunction({
  id: 'memory::session::delete',
  summary: 'Delete a session with its transcript',
  input: () => z.object({ agentId: agent(), sessionId: Session() }),
  output: () => z.object({ deleted: z.boolean(), messages: Count() }),
  http: 'DELETE /v1/sessions/:sessionId',
  effects: 'write',
  idempotent: true,
})

/**
 * Nothing changes unless every part was summarised by a model. That is booked to the agent and the session where the owner or
 * the worker that runs agents asks for it, else to the realm alone.
 */
export const sessionCompact = defineFunction({
  id: 'memory::session::compact',
  summary: 'Replace the older part of a session by a summary; the originals stay archived',
  input: () =>
    z.object({
      agentId: agent(),
      sessionId: Session().default('default'),
      threshold: Count().default(30),
      keepRecent: Count().default(10),
    }),
  output: () =>
    z.union([
      z.object({
        compacted: z.literal(true),
        summarized: Count(),
        kept: Count(),
        summaryId: z.string(),
        model: z.string(),
      }),
      z.object({
        compacted: z.literal(false),
        reason: z.enum(['below_threshold', 'nothing_to_summarize', 'no_model', 'summary_failed', 'conflict']),
        error: z.object({ code: z.string(), message: z.string() }).optional(),
      }),
    ]),
  http: 'POST /v1/sessions/:sessionId/compact',
  effects: 'write',
  keyed: true,
})

/** The repaired messages replace the old ones in one step; the old ones stay archived. */
export const sessionRepair = defineFunction({
  id: 'memory::session::repair',
  summary: 'Check the transcript of a session and fix what is broken',
  input: () =>
    z.object({ agentId: agent(), sessionId: Session().default('default'), dryRun: z.boolean().default(false) }),
  output: () =>
    z.object({
      repaired: z.boolean(),
      /** Fixes written; 0 in a dry run. */
      totalFixes: Count(),
      /** Findings, fixed or not. */
      detected: Count(),
      dryRun: z.boolean(),
      stats: RepairStats(),
    }),
  http: 'POST /v1/sessions/:sessionId/repair',
  effects: 'write',
  idempotent: true,
})

/** For the deletion of an agent. */
export const purgeAgent = defineFunction({
  id: 'memory::purge_agent',
  summary: 'Delete all memories, sessions and the knowledge graph of an agent',
  input: () => z.object({ agentId: z.string().min(1).max(200) }),
  output: () => z.object({ memories: Count(), sessions: Count(), messages: Count(), graph: Count() }),
  effects: 'write',
  idempotent: true,
  access: 'owner',
})
