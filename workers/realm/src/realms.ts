import type { create, list, Realm, update } from '@agentos/contracts/realm'
import { type KeyedWork, Keys } from '@agentos/keyed'
import {
  AgentError,
  canonicalJson,
  type HandlerContext,
  newId,
  type ParsedInputOf,
  type Principal,
  type StateClient,
} from '@agentos/sdk'
import { maySee } from './authority.ts'
import { tellNews } from './lifecycle.ts'
import { BUILT_IN, type RealmRecord, RealmRecords, realmId, view, withNews } from './record.ts'
import { freeSlug, slugOf } from './slug.ts'

type CreateInput = Omit<ParsedInputOf<typeof create>, 'slug'> & { slug?: string | null | undefined }

/** What is known of calls that came with an idempotency key. */
const KEY_SCOPE = 'realm-keys'
const keys = new Keys()

let slugs: Promise<unknown> = Promise.resolve()

/** Slugs are given out one at a time; this is the only process that does. */
function givingSlug<T>(work: () => Promise<T>): Promise<T> {
  const run = slugs.then(work)
  slugs = run.catch(() => {})
  return run
}

/** The owner's realm and the guests' are there from the first start on. */
export async function ensureBuiltInRealms(state: StateClient): Promise<void> {
  const maker: Principal = { kind: 'system', id: 'realm' }
  const records = new RealmRecords(state)
  for (const [id, { name, slug }] of BUILT_IN) await records.add(newRealm({ name }, id, 'owner', slug, maker))
}

/** Carries out a change once for the idempotency key of its call. */
function once<P>(ctx: HandlerContext, input: unknown, work: KeyedWork<P, Realm>): Promise<Realm> {
  return keys.once({ state: ctx.state, scope: KEY_SCOPE, call: ctx, input }, work)
}

export function createRealm(input: CreateInput, ctx: HandlerContext): Promise<Realm> {
  return once<string>(ctx, input, {
    plan: () => newId('realm'),
    carryOut: async (id, again) => {
      const made = again ? await new RealmRecords(ctx.state).get(id) : undefined
      const record = made ?? (await addRealm(input, ctx, { id, isNews: true }))
      await tellNews(record.id, ctx)
      return view(record)
    },
  })
}

/** The record alone; unless it is news, for those who tell of it later. */
export function addRealm(
  input: CreateInput,
  ctx: HandlerContext,
  { id = newId('realm'), isNews = false } = {},
): Promise<RealmRecord> {
  const records = new RealmRecords(ctx.state)
  const owner = input.owner ?? ctx.principal.id
  return givingSlug(async () => {
    const taken = await slugsOf(owner, records)
    if (input.slug && taken.has(input.slug)) {
      throw new AgentError('conflict', `${owner} has a realm with the slug ${input.slug} already; choose another`)
    }
    const slug = input.slug ?? freeSlug(slugOf(input.name), taken)
    const made = newRealm(input, id, owner, slug, ctx.principal)
    const record: RealmRecord = isNews ? { ...made, untold: [{ type: 'created', version: made.version }] } : made
    if (!(await records.add(record)))
      throw new AgentError('conflict', `There is a realm ${record.id} already; try again`)
    return record
  })
}

export async function getRealm(id: string, ctx: HandlerContext): Promise<Realm | null> {
  const record = await new RealmRecords(ctx.state).get(id)
  return record && !record.deletedAt && maySee(record, ctx) ? view(record) : null
}

export async function listRealms(input: ParsedInputOf<typeof list>, ctx: HandlerContext): Promise<Realm[]> {
  const { owner, status, deleted, after, limit } = input
  const records = (await new RealmRecords(ctx.state).all()).filter(
    (record) =>
      maySee(record, ctx) &&
      (record.deletedAt !== undefined) === deleted &&
      (owner === undefined || record.owner === owner) &&
      (status === undefined || record.status === status),
  )
  const last = after === undefined ? -1 : records.findIndex(({ id }) => id === realmId(after))
  if (after !== undefined && last === -1) {
    throw new AgentError('invalid_input', `There is no realm ${after} in this list to go on after`)
  }
  return records.slice(last + 1, limit === undefined ? undefined : last + 1 + limit).map(view)
}

export function updateRealm(input: ParsedInputOf<typeof update>, ctx: HandlerContext): Promise<Realm> {
  const records = new RealmRecords(ctx.state)
  return once<{ version: number }>(ctx, input, {
    plan: async () => ({ version: (await records.require(input.id)).version }),
    carryOut: async (plan, again) => {
      // Only a change moves the version on: where nothing is left to change, the one after the plan's was ours.
      const now = again ? await records.require(input.id) : undefined
      const isDone = now !== undefined && now.version > plan.version && isPatched(now, input)
      const record = isDone ? now : await change(input, records)
      await tellNews(record.id, ctx)
      return view(record)
    },
  })
}

function change(input: ParsedInputOf<typeof update>, records: RealmRecords): Promise<RealmRecord> {
  return records.change(
    input.id,
    (stored) => {
      if (stored.deletedAt) throw new AgentError('not_found', `Realm ${stored.id} is deleted; restore it first`)
      const next = patched(stored, input)
      if (next === stored) return stored
      const detail = { realmId: stored.id, from: stored.status, to: next.status }
      const audit = next.status === stored.status ? {} : { audit: { type: 'realm_status', detail } }
      return withNews(next, { type: 'updated', ...audit })
    },
    input.expectedVersion,
  )
}

/** Whether the record has all that the input asks for. */
function isPatched(record: RealmRecord, input: ParsedInputOf<typeof update>): boolean {
  return (
    canonicalJson({ ...patched({ ...record, status: 'active' }, input), status: input.status ?? record.status }) ===
    canonicalJson(record)
  )
}

/** An id that nobody has counts as deleted. */
export async function deleteRealm(
  { id, expectedVersion }: { id: string; expectedVersion?: number | undefined },
  ctx: HandlerContext,
): Promise<{ deleted: true }> {
  const records = new RealmRecords(ctx.state)
  const found = await records.get(id)
  if (!found || found.deletedAt) return { deleted: true }
  if (BUILT_IN.has(found.id)) {
    throw new AgentError('conflict', `${found.id} is part of the installation and cannot be deleted`)
  }
  const deletedAt = new Date().toISOString()
  await records.change(
    id,
    (stored) => {
      const audit = { type: 'realm_deleted', detail: { realmId: stored.id, name: stored.name } }
      return withNews({ ...stored, status: 'archived', deletedAt }, { type: 'deleted', audit })
    },
    expectedVersion,
  )
  await tellNews(found.id, ctx)
  return { deleted: true }
}

export function restoreRealm(id: string, ctx: HandlerContext): Promise<Realm> {
  const records = new RealmRecords(ctx.state)
  return once<{ version: number }>(
    ctx,
    { id },
    {
      plan: async () => ({ version: (await records.require(id)).version }),
      carryOut: async ({ version }, again) => {
        const now = again ? await records.require(id) : undefined
        const isDone = now !== undefined && now.version > version && now.deletedAt === undefined
        const restored = isDone ? now : await restore(id, records)
        await tellNews(restored.id, ctx)
        return view(restored)
      },
    },
  )
}

function restore(id: string, records: RealmRecords): Promise<RealmRecord> {
  return givingSlug(() =>
    records.change(id, async (stored) => {
      const { deletedAt, ...rest } = stored
      if (!deletedAt) throw new AgentError('conflict', `Realm ${stored.id} is not deleted`)
      const slug = freeSlug(stored.slug, await slugsOf(stored.owner, records))
      const audit = { type: 'realm_restored', detail: { realmId: stored.id } }
      return withNews({ ...rest, status: 'active', slug }, { type: 'restored', audit })
    }),
  )
}

/** The record with the changes; the record itself where there are none. */
export function patched(stored: RealmRecord, input: Omit<ParsedInputOf<typeof update>, 'id'>): RealmRecord {
  const { status, expectedVersion: _expectedVersion, ...settings } = input
  const changes = Object.entries(settings).filter(
    ([key, value]) => key !== 'id' && value !== null && value !== undefined,
  )
  if (status && status !== 'active' && BUILT_IN.has(stored.id)) {
    throw new AgentError('conflict', `${stored.id} is part of the installation and stays active`)
  }
  if (changes.length > 0 && stored.status !== 'active' && status !== 'active') {
    throw new AgentError('realm_suspended', `Realm ${stored.id} is ${stored.status}; set its status to active first`)
  }
  if (changes.length === 0 && (!status || status === stored.status)) return stored
  return { ...stored, ...Object.fromEntries(changes), ...(status ? { status } : {}) }
}

async function slugsOf(owner: string, records: RealmRecords): Promise<Set<string>> {
  const realms = await records.all()
  return new Set(realms.filter((realm) => realm.owner === owner && !realm.deletedAt).map(({ slug }) => slug))
}

function newRealm(input: CreateInput, id: string, owner: string, slug: string, createdBy: Principal): RealmRecord {
  const now = new Date().toISOString()
  return {
    id,
    name: input.name,
    slug,
    description: input.description ?? null,
    status: 'active',
    owner,
    defaultModel: input.defaultModel ?? null,
    maxAgents: input.maxAgents ?? null,
    metadata: input.metadata ?? null,
    version: 1,
    createdAt: now,
    updatedAt: now,
    createdBy,
  }
}
