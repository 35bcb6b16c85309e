import { hash } from 'node:crypto'
import { AgentError, canonicalJson, type HandlerContext, type StateClient, type StateWrite } from '@agentos/sdk'

/** As long as the engine keeps a run that may send a step again. */
const KEPT_MS = 7 * 24 * 3_600_000

/** What of a call says whether another one is the same. */
export type KeyedCall = Pick<HandlerContext, 'functionId' | 'idempotencyKey' | 'principal' | 'realm'>

/** What is kept of a call: written before its first effect, and again with its answer. */
interface Claim<P, A> {
  /** SHA-256 of the input. */
  input: string
  plan: P
  answer?: A
}

/** Two parts of one call's work. Both get nothing but JSON to keep. */
export interface KeyedWork<P, A> {
  /** Decides what the work needs to be the same when it is done again: ids, what was found. Changes nothing. */
  plan: () => P | Promise<P>
  /**
   * Does it. `again` says that an earlier call had this plan and may have come any way with it, up to the end: what it
   * did has to be recognized by the plan, and not be done twice.
   */
  carryOut: (plan: P, again: boolean) => Promise<A>
}

/** One call, and where its claim is kept: in a scope that the worker owns and in which nothing else is. */
export interface KeyedRequest {
  state: Pick<StateClient, 'get' | 'set'>
  scope: string
  call: KeyedCall
  input: unknown
}

/**
 * Recognizes calls by their idempotency key: within a week the second call under a key changes nothing and answers as the
 * first. A key is that of a realm, a principal and a function, and of one input: with another it is `key_reused`. The
 * plan is on disk before the first effect, so a call that was killed in between is finished by the next under its key.
 */
export class Keys {
  /** Calls of this process that are being carried out. */
  private readonly running = new Map<string, Promise<unknown>>()

  /** Carries out the work once for the key of the call; each time for a call that has none. */
  async once<P, A>(request: KeyedRequest, work: KeyedWork<P, A>): Promise<A> {
    const place = placeOf(request.call)
    if (place === undefined) return work.carryOut(await work.plan(), false)
    const name = `${request.call.realm} ${place}`
    for (let before = this.running.get(name); before; before = this.running.get(name)) await before.catch(() => {})
    const mine = recognize(request, place, work)
    this.running.set(name, mine)
    try {
      return await mine
    } finally {
      this.running.delete(name)
    }
  }
}

async function recognize<P, A>(
  { state, scope, input }: KeyedRequest,
  place: string,
  { plan, carryOut }: KeyedWork<P, A>,
): Promise<A> {
  const inputHash = hash('sha256', canonicalJson(input))
  const known = await state.get<Claim<P, A>>(scope, place)
  if (known && known.input !== inputHash) {
    throw new AgentError('key_reused', 'This idempotency key stands for another input; use a new one')
  }
  if (known && 'answer' in known) return known.answer as A
  const claim = known ?? { input: inputHash, plan: await plan() }
  if (!known) await state.set(scope, place, claim, { expectedVersion: 0, ttlMs: KEPT_MS })
  const answer = await carryOut(claim.plan, known !== undefined)
  // Where this is lost, the next call finds by its plan that everything is done.
  await state.set(scope, place, { ...claim, answer }, { ttlMs: KEPT_MS, relaxed: true }).catch(() => {})
  return answer
}

/**
 * The claim of a call's key as writes of `StateClient.writeInOrder`, for work that is known whole before it begins: `begin`
 * goes before its first effect, `end` behind its last. A `version_conflict` of `begin` says that an earlier call has the
 * key; that one is recognized by `Keys.once`. A call without a key has none.
 */
export function claimOf<P, A>(
  { scope, call, input }: Omit<KeyedRequest, 'state'>,
  plan: P,
  answer: A,
): { begin: StateWrite[]; end: StateWrite[] } {
  const key = placeOf(call)
  if (key === undefined) return { begin: [], end: [] }
  const claim: Claim<P, A> = { input: hash('sha256', canonicalJson(input)), plan }
  return {
    begin: [{ scope, key, value: claim, expectedVersion: 0, ttlMs: KEPT_MS }],
    end: [{ scope, key, value: { ...claim, answer }, ttlMs: KEPT_MS, relaxed: true }],
  }
}

/** True for the first call under a key only, and for one without: for what is rather left out than done twice. */
export async function isFirst({ state, scope, call, input }: KeyedRequest): Promise<boolean> {
  const place = placeOf(call)
  if (place === undefined) return true
  const claim = { input: hash('sha256', canonicalJson(input)), plan: null }
  try {
    await state.set(scope, place, claim, { expectedVersion: 0, ttlMs: KEPT_MS })
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'version_conflict') return false
    throw error
  }
}

/** Where a call's key is kept, the same for every call that is the same; undefined where it has no key. */
export function placeOf({ functionId, idempotencyKey, principal }: KeyedCall): string | undefined {
  if (idempotencyKey === undefined) return undefined
  return hash('sha256', JSON.stringify([principal.kind, principal.id, functionId, idempotencyKey]))
}

/** Key for a call that a keyed call makes: the same when it is made again. */
export function under({ idempotencyKey }: KeyedCall, name: string): { idempotencyKey?: string } {
  return idempotencyKey === undefined ? {} : { idempotencyKey: `${idempotencyKey}/${name}` }
}
