import type { Request } from '@agentos/contracts/approval'
import { StateDouble } from '@agentos/testing'
import { describe, expect, it } from 'vitest'
import { Desk } from './desk.ts'
import type { Notice } from './notices.ts'
import { DEFAULT_POLICY } from './policy.ts'
import type { Wanted } from './request.ts'

const REALM = 'realm-default'
const policy = { ...DEFAULT_POLICY, timeoutMs: 1_000 }
const wanted = (more: Partial<Wanted> = {}): Wanted => ({
  realm: REALM,
  agentId: 'clerk',
  functionId: 'fn::email_send',
  effects: 'external',
  input: { to: 'a@example.com' },
  requestedBy: 'agent-core',
  ...more,
})
const approve = { status: 'approved', by: 'owner:owner' } as const
const deny = { status: 'denied', by: 'owner:owner', reason: 'no' } as const

function start() {
  const told: Notice[] = []
  /** What cannot be told now. */
  const deaf = new Set<Notice>()
  let time = 1_800_000_000_000
  const state = new StateDouble({ scopes: ['approvals', 'approval-policy'], now: () => time })
  /** `mayTell`: the process tells nothing before; one that dies before it tells never does. */
  const open = async (mayTell: Promise<void> = Promise.resolve()): Promise<Desk> => {
    const tell = async (_request: Request, notice: Notice): Promise<void> => {
      await mayTell
      if (deaf.has(notice)) throw new Error('nobody is there')
      told.push(notice)
    }
    const desk = new Desk({ state: state.client, teller: { tell }, now: () => time })
    await desk.open()
    return desk
  }
  const pass = (ms: number): void => {
    time += ms
  }
  return { state, told, deaf, open, pass }
}

async function code(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work
    return undefined
  } catch (error) {
    return (error as { code?: string }).code
  }
}

describe('two processes at one desk', () => {
  it('let one call through with one approval', async () => {
    const { open, told } = start()
    const one = await open()
    const { request } = await one.take(wanted(), policy)
    await one.decide({ realm: REALM, id: request.id }, undefined, approve)
    const desks = [one, await open(), await open(), await open()]
    const verdicts = await Promise.all(
      desks.flatMap((desk) => [desk.take(wanted(), policy), desk.take(wanted(), policy)]),
    )
    expect(verdicts.filter(({ state }) => state === 'approved')).toHaveLength(1)
    expect(told.filter((what) => what === 'audit_used')).toHaveLength(1)
  })

  it('take one decision', async () => {
    const { open } = start()
    const one = await open()
    const { request } = await one.take(wanted(), policy)
    const desks = [one, await open(), await open()]
    const codes = await Promise.all(
      desks.flatMap((desk) =>
        [approve, deny].map((how) => code(desk.decide({ realm: REALM, id: request.id }, undefined, how))),
      ),
    )
    expect(codes.filter((found) => found === undefined)).toHaveLength(1)
    expect(codes.filter((found) => found === 'conflict')).toHaveLength(5)
  })

  it('end a request once', async () => {
    const { open, pass, told } = start()
    const [one, two] = [await open(), await open()]
    const { request } = await one.take(wanted(), policy)
    await two.get(REALM, request.id)
    pass(1_000)
    await Promise.all([one.sweep(), two.sweep(), one.get(REALM, request.id), two.list(REALM, { limit: 10 })])
    expect(told.filter((what) => what === 'audit_expired')).toHaveLength(1)
  })
})

describe('a crash', () => {
  it('after an approval was used up and before the call costs the approval', async () => {
    const { open } = start()
    const desk = await open()
    const { request } = await desk.take(wanted(), policy)
    await desk.decide({ realm: REALM, id: request.id }, undefined, approve)
    // Its process dies with the answer: the call was never made.
    await desk.take(wanted(), policy)
    const after = await open()
    for (let n = 0; n < 2; n += 1) expect(await after.take(wanted(), policy)).toMatchObject({ state: 'pending' })
  })

  it('leaves what waits and what was approved where it was', async () => {
    const { open } = start()
    const desk = await open()
    const waiting = await desk.take(wanted(), policy)
    const approved = await desk.take(wanted({ input: 2 }), policy)
    await desk.decide({ realm: REALM, id: approved.request.id }, undefined, approve)
    const after = await open()
    expect((await after.take(wanted(), policy)).request.id).toBe(waiting.request.id)
    expect((await after.take(wanted({ input: 2 }), policy)).state).toBe('approved')
  })

  it('of a write whose end nobody knows lets nothing through', async () => {
    const { open, state } = start()
    const desk = await open()
    const { request } = await desk.take(wanted(), policy)
    await desk.decide({ realm: REALM, id: request.id }, undefined, approve)
    state.intercept((id) => {
      if (id === 'state::set') throw new Error('the engine went away')
    })
    await expect(desk.take(wanted(), policy)).rejects.toThrow('went away')
    state.intercept(undefined)
    expect((await desk.take(wanted(), policy)).state).toBe('approved')
  })
})

describe('what was written and not yet told', () => {
  const runId = 'run-1'

  it.each(['requested', 'decided', 'expired', 'used'] as const)('is told after the next start: %s', async (how) => {
    const { open, pass, state, told } = start()
    const before = await open()
    const first = how === 'requested' ? undefined : await before.take(wanted({ runId }), policy)
    const place = { realm: REALM, id: first?.request.id ?? '' }
    if (how === 'used') await before.decide(place, undefined, approve)
    told.length = 0
    // Its process dies between its write and what it tells.
    const dying = await open(new Promise(() => {}))
    if (how === 'expired') pass(1_000)
    const { promise: written, resolve } = Promise.withResolvers<void>()
    state.whenStored(() => resolve())
    if (how === 'decided') void dying.decide(place, undefined, approve)
    else if (how === 'expired') void dying.sweep()
    else void dying.take(wanted({ runId }), policy)
    await written
    const notices = {
      requested: ['announce_requested', 'audit_requested'],
      decided: ['signal', 'announce_decided', 'audit_decided'],
      expired: ['signal', 'announce_decided', 'audit_expired'],
      used: ['audit_used'],
    }
    for (let starts = 0; starts < 2; starts += 1) {
      await (await open()).sweep()
      expect(told).toEqual(notices[how])
    }
  })

  it('is told again, and only that, to whoever did not hear it', async () => {
    const { open, told, deaf, pass } = start()
    const desk = await open()
    const { request } = await desk.take(wanted({ runId }), policy)
    told.length = 0
    deaf.add('signal')
    await desk.decide({ realm: REALM, id: request.id }, undefined, approve)
    expect(told).toEqual(['announce_decided', 'audit_decided'])
    await desk.sweep()
    deaf.clear()
    await desk.sweep()
    expect(told, 'not at once').not.toContain('signal')
    pass(5_000)
    await desk.sweep()
    expect(told.slice(0, 3)).toEqual(['announce_decided', 'audit_decided', 'signal'])
    expect(told.filter((notice) => notice === 'signal')).toHaveLength(1)
  })

  it('stands in the way of nothing: it is decided and used while others are still told', async () => {
    const { open, told } = start()
    const { promise: mayTell, resolve: tell } = Promise.withResolvers<void>()
    const desk = await open(mayTell)
    const taken = desk.take(wanted({ runId }), policy)
    await expect.poll(() => desk.list(REALM, { limit: 10 })).toHaveLength(1)
    const [request] = await desk.list(REALM, { limit: 10 })
    const decided = desk.decide({ realm: REALM, id: request!.id }, undefined, approve)
    await expect.poll(async () => (await desk.get(REALM, request!.id))?.status).toBe('approved')
    const used = desk.take(wanted({ runId }), policy)
    await expect.poll(async () => (await desk.get(REALM, request!.id))?.usedAt).toBeDefined()
    tell()
    await Promise.all([taken, decided])
    expect((await used).state).toBe('approved')
    const all = ['announce_requested', 'audit_requested', 'signal', 'announce_decided', 'audit_decided', 'audit_used']
    expect(told.toSorted()).toEqual(all.toSorted())
  })
})

describe('what became of a request', () => {
  it('is told to the run that asks', async () => {
    const { open, pass } = start()
    const desk = await open()
    const { request } = await desk.take(wanted(), policy)
    expect(await desk.outcome(REALM, request.id)).toEqual({ pending: true, expiresAt: request.expiresAt })
    await desk.decide({ realm: REALM, id: request.id }, undefined, deny)
    // A denial stays one when its time is over.
    pass(1_000)
    expect(await desk.outcome(REALM, request.id)).toEqual({ decision: 'denied', reason: 'no' })
    const next = await desk.take(wanted(), policy)
    pass(1_000)
    expect(await desk.outcome(REALM, next.request.id)).toEqual({ decision: 'timed_out' })
    expect(await desk.outcome(REALM, 'approval-unknown')).toEqual({ decision: 'timed_out' })
  })
})

describe('time', () => {
  it('runs out for a request and for an approval, and a denial keeps its word until then', async () => {
    const { open, pass } = start()
    const desk = await open()
    const first = await desk.take(wanted(), policy)
    pass(999)
    await desk.decide({ realm: REALM, id: first.request.id }, undefined, approve)
    pass(999)
    expect((await desk.get(REALM, first.request.id))!.status).toBe('approved')
    pass(1)
    expect((await desk.get(REALM, first.request.id))!.status).toBe('timed_out')
    const second = await desk.take(wanted(), policy)
    expect(second).toMatchObject({ state: 'pending' })
    expect(second.request.id).not.toBe(first.request.id)
    pass(1_000)
    expect(await code(desk.decide({ realm: REALM, id: second.request.id }, undefined, approve))).toBe(
      'approval_expired',
    )
    const third = await desk.take(wanted(), policy)
    await desk.decide({ realm: REALM, id: third.request.id }, undefined, deny)
    expect(await code(desk.take(wanted(), policy))).toBe('approval_denied')
    pass(1_000)
    expect((await desk.take(wanted(), policy)).state).toBe('pending')
    expect((await desk.get(REALM, third.request.id))!.status).toBe('denied')
  })

  it('frees the places of an agent', async () => {
    const { open, pass } = start()
    const desk = await open()
    for (let n = 0; n < 5; n += 1) await desk.take(wanted({ input: n }), policy)
    expect(await code(desk.take(wanted({ input: 5 }), policy))).toBe('overloaded')
    expect((await desk.take(wanted({ input: 5, agentId: 'other' }), policy)).state).toBe('pending')
    expect((await desk.take(wanted({ input: 5, realm: 'realm-2' }), policy)).state).toBe('pending')
    pass(1_000)
    expect((await desk.take(wanted({ input: 5 }), policy)).state).toBe('pending')
  })

  it('of an older request that somebody looks at takes nothing from the one that counts', async () => {
    const { open, pass } = start()
    const desk = await open()
    const old = await desk.take(wanted(), policy)
    await desk.decide({ realm: REALM, id: old.request.id }, undefined, deny)
    pass(1_000)
    const now = await desk.take(wanted(), policy)
    await desk.decide({ realm: REALM, id: now.request.id }, undefined, approve)
    expect((await desk.get(REALM, old.request.id))!.status).toBe('denied')
    expect(await desk.take(wanted(), policy)).toMatchObject({ state: 'approved', request: { id: now.request.id } })
  })
})

describe('an approval', () => {
  const GUEST = { kind: 'guest', id: 'guest' } as const
  const OWNER = { kind: 'owner', id: 'owner' } as const
  const asked = { onBehalfOf: OWNER, runId: 'run-1' }

  it.each<[string, Partial<Wanted>]>([
    ['another principal', { onBehalfOf: GUEST }],
    ['nobody in particular', { onBehalfOf: undefined }],
    ['another run', { runId: 'run-2' }],
    ['no run', { runId: undefined }],
    ['another agent', { agentId: 'forger' }],
    ['another realm', { realm: 'realm-2' }],
    ['another input', { input: { to: 'b@example.com' } }],
    ['what the agent called, not the model', { below: true }],
  ])('is not used up by the same call of %s, and is by its own, after a start too', async (_whose, other) => {
    const { open } = start()
    const desk = await open()
    const { request } = await desk.take(wanted(asked), policy)
    await desk.decide({ realm: REALM, id: request.id }, undefined, approve)
    const theirs = await desk.take(wanted({ ...asked, ...other }), policy)
    expect(theirs.state).toBe('pending')
    expect(theirs.request.id).not.toBe(request.id)
    const after = await open()
    expect((await after.take(wanted({ ...asked, ...other }), policy)).state).toBe('pending')
    // The run that it was given to goes on with it.
    expect(await after.take(wanted(asked), policy)).toMatchObject({ state: 'approved', request: { id: request.id } })
  })

  it('is waited for in the room of its own principal: another’s requests do not take it', async () => {
    const { open } = start()
    const desk = await open()
    const take = (onBehalfOf: Wanted['onBehalfOf'], input: number) => desk.take(wanted({ onBehalfOf, input }), policy)
    for (let n = 0; n < 5; n += 1) await take(GUEST, n)
    expect(await code(take(GUEST, 5))).toBe('overloaded')
    expect((await take(OWNER, 5)).state).toBe('pending')
  })
})

describe('five askers at once', () => {
  it('open one request for one thing, and no more than five for many', async () => {
    const { open } = start()
    const desk = await open()
    const same = await Promise.all(Array.from({ length: 5 }, () => desk.take(wanted(), policy)))
    expect(new Set(same.map(({ request }) => request.id)).size).toBe(1)
    const codes = await Promise.all(
      Array.from({ length: 20 }, (_, n) => code(desk.take(wanted({ agentId: 'eager', input: n }), policy))),
    )
    expect(codes.filter((found) => found === undefined)).toHaveLength(5)
  })
})
