import type { Principal } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { forWhom } from './claims.ts'

const GUEST: Principal = { kind: 'guest', id: 'guest' }
const LOOP = { worker: 'agent-core', speaksForAgents: true }
const OTHER = { worker: 'streaming', speaksForAgents: false }

const ask = (principal: Principal, claims: object, more: object = {}) =>
  forWhom(
    { functionId: 'llm::complete', principal, session: undefined, run: undefined, caller: undefined, ...more },
    claims,
  )
const refused = (field: string) => expect.objectContaining({ code: 'forbidden', details: { field } })

describe('for whom a call is made', () => {
  it.each(['agentId', 'sessionId', 'runId'])('is not for a guest to say: %s', (field) => {
    expect(() => ask(GUEST, { [field]: 'theirs' })).toThrow(refused(field))
    // Nor is it by way of an installed worker that hands on what it was told.
    expect(() => ask(GUEST, { [field]: 'theirs' }, { caller: OTHER })).toThrow(refused(field))
  })

  it('is what the engine says of it, where the input says nothing or the same', () => {
    const own = { session: 's', run: 'r' }
    expect(ask({ kind: 'agent', id: 'clerk' }, {}, own)).toEqual({ agent: 'clerk', session: 's', run: 'r' })
    const same = { agentId: 'clerk', sessionId: 's', runId: null }
    expect(ask({ kind: 'agent', id: 'clerk' }, same, own)).toEqual({ agent: 'clerk', session: 's', run: 'r' })
    expect(ask(GUEST, {})).toEqual({ agent: undefined, session: undefined, run: undefined })
  })

  it('is believed from the owner, from workers for themselves, and from the loop of agents', () => {
    const claims = { agentId: 'a', sessionId: 's', runId: 'r' }
    const all = { agent: 'a', session: 's', run: 'r' }
    expect(ask({ kind: 'owner', id: 'owner' }, claims)).toEqual(all)
    expect(ask({ kind: 'system', id: 'pulse' }, claims)).toEqual(all)
    expect(ask(GUEST, claims, { caller: LOOP })).toEqual(all)
  })

  it('is not for a model to say, and is for the loop of an agent that another one talks to', () => {
    const clerk: Principal = { kind: 'agent', id: 'clerk' }
    expect(() => ask(clerk, { agentId: 'other' })).toThrow(refused('agentId'))
    expect(() => ask(clerk, { agentId: 'other' }, { caller: OTHER })).toThrow(refused('agentId'))
    expect(ask(clerk, { agentId: 'other' }, { caller: LOOP })).toMatchObject({ agent: 'other' })
  })
})
