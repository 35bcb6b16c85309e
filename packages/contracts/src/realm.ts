import { defineFunction } from '@agentos/sdk/contract'
import * as z from 'zod'

const Id = () => z.string().min(1).max(128)
const Name = () => z.string().trim().min(1).max(200)
const Owner = () => z.string().trim().min(1).max(200)
const Description = () => z.string().max(4_000)
const Model = () => z.string().max(200)
const MaxAgents = () => z.number().int().nonnegative().max(4_294_967_295)
const ExpectedVersion = () => z.number().int().positive()

/** `suspended` and `archived` realms can only be read until they are `active` again. */
export const RealmStatus = () => z.enum(['active', 'suspended', 'archived'])

export const Realm = () =>
  z.object({
    /** `realm-<uuid v7>`; built in are `realm-default` (`default`), the owner's, and `realm-guest` (`guest`). */
    id: z.string(),
    name: z.string(),
    /** From the name, unique per owner; it does not change when the name does. */
    slug: z.string(),
    description: z.string().nullable(),
    status: RealmStatus(),
    owner: z.string(),
    defaultModel: z.string().nullable(),
    maxAgents: z.number().int().nullable(),
    metadata: z.unknown(),
    /** Counts the changes of this record, from 1. */
    version: z.number().int(),
    /** RFC 3339, like `updatedAt` and `deletedAt`. */
    createdAt: z.string(),
    updatedAt: z.string(),
    /** Only on a deleted realm that can still be restored. */
    deletedAt: z.string().optional(),
  })
export type Realm = z.output<ReturnType<typeof Realm>>

/** `conflict` where another realm of the owner has the given slug; a slug made from the name gets a number instead. */
export const create = defineFunction({
  id: 'realm::create',
  summary: 'Create an active realm',
  input: () =>
    z.object({
      name: Name(),
      /** @default the caller */
      owner: Owner().nullish(),
      slug: z
        .string()
        .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'lower-case letters, digits and single dashes')
        .max(80)
        .nullish(),
      description: Description().nullish(),
      defaultModel: Model().nullish(),
      maxAgents: MaxAgents().nullish(),
      metadata: z.unknown().optional(),
    }),
  output: Realm,
  http: 'POST /v1/realms',
  effects: 'write',
  keyed: true,
  access: 'owner',
})

export const get = defineFunction({
  id: 'realm::get',
  summary: 'Fetch a realm',
  input: () => z.object({ id: Id() }),
  /** Null where there is none, or it was deleted. */
  output: () => Realm().nullable(),
  http: 'GET /v1/realms/:id',
  effects: 'read',
})

/** By id, which is the order of creation; the built-in realms come first. The owner sees all, everybody else the own. */
export const list = defineFunction({
  id: 'realm::list',
  summary: 'List realms',
  input: () =>
    z.object({
      owner: Owner().optional(),
      status: RealmStatus().optional(),
      /** Deleted realms that can still be restored, instead of the others. */
      deleted: z.boolean().default(false),
      limit: z.number().int().positive().max(1_000).optional(),
      /** Id of the last realm of the page before. */
      after: Id().optional(),
    }),
  output: () => z.array(Realm()),
  http: 'GET /v1/realms',
  effects: 'read',
})

/**
 * Null and absent mean unchanged; `metadata` is replaced as a whole. Errors: `not_found`, `version_conflict`,
 * `realm_suspended` (everything but the status of a realm that is not active), `conflict` (a built-in realm stays active).
 */
export const update = defineFunction({
  id: 'realm::update',
  summary: "Change a realm's settings or status",
  input: () =>
    z.object({
      id: Id(),
      name: Name().nullish(),
      description: Description().nullish(),
      status: RealmStatus().nullish(),
      defaultModel: Model().nullish(),
      maxAgents: MaxAgents().nullish(),
      metadata: z.unknown().optional(),
      expectedVersion: ExpectedVersion().optional(),
    }),
  output: Realm,
  http: 'PATCH /v1/realms/:id',
  effects: 'write',
  idempotent: true,
  keyed: true,
  access: 'owner',
})

/**
 * The first of two phases: the realm is archived and hidden, and its data stays until `realm::purge`, by hand or after
 * the retention time. An unknown id is deleted already. Errors: `conflict` (a built-in realm).
 */
export const remove = defineFunction({
  id: 'realm::delete',
  summary: 'Delete a realm; it can be restored until it is purged',
  input: () => z.object({ id: Id(), expectedVersion: ExpectedVersion().optional() }),
  output: () => z.object({ deleted: z.literal(true) }),
  http: 'DELETE /v1/realms/:id',
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

/** Errors: `not_found` (purged or never there), `conflict` (not deleted). */
export const restore = defineFunction({
  id: 'realm::restore',
  summary: 'Bring a deleted realm back',
  input: () => z.object({ id: Id() }),
  output: Realm,
  http: 'POST /v1/realms/:id/restore',
  effects: 'write',
  idempotent: true,
  keyed: true,
  access: 'owner',
})

export const PurgeReport = () =>
  z.object({
    realmId: z.string(),
    dryRun: z.boolean(),
    agents: z.number().int(),
    /** State of scopes that no worker owns. */
    scopes: z.number().int(),
    entries: z.number().int(),
    /** What could not be looked at or removed, one sentence each. */
    warnings: z.array(z.string()),
  })
export type PurgeReport = z.output<ReturnType<typeof PurgeReport>>

/**
 * The second phase: agents with what belongs to them, state, then the record. Workers that own data of the realm remove
 * theirs on the topic `realm.lifecycle` (`purged`). With `dryRun` it only counts. Errors: `not_found`, `conflict` (not deleted).
 */
export const purge = defineFunction({
  id: 'realm::purge',
  summary: 'Remove the data of a deleted realm for good',
  input: () => z.object({ id: Id(), dryRun: z.boolean().default(false) }),
  output: PurgeReport,
  http: 'POST /v1/realms/:id/purge',
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

export const purgeExpired = defineFunction({
  id: 'realm::purge_expired',
  summary: 'Purge realms whose retention time after their deletion is over',
  input: () => z.object({}),
  output: () => z.object({ purged: z.array(z.string()) }),
  effects: 'write',
  idempotent: true,
  access: 'owner',
})

/** What travels between installations. Only the listed settings are in it, never ids of people or internal fields. */
export const Bundle = () =>
  z.object({
    version: z.literal('1.0'),
    realm: z.object({
      id: z.string(),
      name: z.string(),
      description: z.string().nullable(),
      status: RealmStatus(),
      owner: z.string(),
      defaultModel: z.string().nullable(),
      maxAgents: z.number().int().nullable(),
      metadata: z.unknown(),
    }),
    agents: z.array(z.record(z.string(), z.unknown())),
    directives: z.array(z.unknown()),
    hierarchy: z.array(z.unknown()),
    /** SHA-256 of the five fields above, as 64 hex digits. */
    checksum: z.string(),
    /** Where something that looks like a secret was replaced, as paths such as `agents[0].systemPrompt`. */
    redacted: z.array(z.string()),
    warnings: z.array(z.string()),
  })
export type Bundle = z.output<ReturnType<typeof Bundle>>

/** Errors: `not_found`; `forbidden` for a realm that the caller may not enter, and for `scrubSecrets: false` by a guest. */
export const exportRealm = defineFunction({
  id: 'realm::export',
  summary: 'Bundle a realm with its agents, to be imported elsewhere',
  input: () => z.object({ id: Id(), scrubSecrets: z.boolean().default(true) }),
  output: Bundle,
  http: 'POST /v1/realms/:id/export',
  effects: 'read',
})

/** All or nothing. Errors: `invalid_input` (version, checksum, a part of it). */
export const importRealm = defineFunction({
  id: 'realm::import',
  summary: 'Create a new realm from an export bundle',
  input: () => z.object({ data: z.record(z.string(), z.unknown()), newOwner: Owner().nullish() }),
  output: () =>
    z.object({
      imported: z.literal(true),
      realmId: z.string(),
      counts: z.object({ agents: z.number().int() }),
      warnings: z.array(z.string()),
    }),
  http: 'POST /v1/realms/import',
  effects: 'write',
  access: 'owner',
})
