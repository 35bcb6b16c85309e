import { AUDIT_TYPES, audit } from '@agentos/contracts/security'
import type { HandlerContext, Principal } from '@agentos/sdk'
import { describe, expect, it } from 'vitest'
import { eventOf } from './audit-writer.ts'

const GUEST: Principal = { kind: 'guest', id: 'guest' }
const OWNER: Principal = { kind: 'owner', id: 'owner' }
const TOPIC: Principal = { kind: 'system', id: 'security' }
const CLERK: Principal = { kind: 'agent', id: 'clerk' }
const LOOP = { worker: 'agent-core', speaksForAgents: true }
const by = (worker: string): HandlerContext['caller'] => ({ worker, speaksForAgents: false })

const entry = (input: object, principal: Principal, caller?: HandlerContext['caller']) =>
  eventOf(audit.input().parse(input) as never, { principal, caller, realm: 'realm-default' })

describe('an entry', () => {
  it.each(Object.entries(AUDIT_TYPES))('of the type %s is taken from the worker %s alone', (type, owner) => {
    expect(entry({ type, agentId: 'clerk' }, OWNER, by(owner))).toMatchObject({ type, agentId: 'clerk', worker: owner })
    const others: [Principal, HandlerContext['caller']][] = [
      [GUEST, undefined],
      [OWNER, undefined],
      [OWNER, by('toolbox')],
      [{ kind: 'system', id: 'toolbox' }, by('toolbox')],
      [CLERK, undefined],
      [GUEST, LOOP],
    ]
    for (const [principal, caller] of others) {
      expect(() => entry({ type }, principal, caller)).toThrow(
        expect.objectContaining({ code: 'forbidden', details: { type, owner } }),
      )
    }
    // Over the topic nobody knows who says it, the owner of the type neither.
    expect(entry({ type, agentId: 'clerk' }, TOPIC, by('security'))).toMatchObject({ type: `topic:${type}` })
  })

  it.each(['Approval_Granted', 'APPROVAL.GRANTED', 'approval:granted', 'approval-granted'])(
    'of a type that only looks like one is none either: %s',
    (type) => {
      expect(() => entry({ type }, GUEST)).toThrow(expect.objectContaining({ code: 'forbidden' }))
    },
  )

  it('says who called, and of whom that was, whatever it says itself', () => {
    const forged = { type: 'note', agentId: 'clerk', detail: { actor: OWNER } }
    expect(entry(forged, GUEST)).toEqual({
      type: 'guest:note',
      agentId: null,
      claimed: { agentId: 'clerk' },
      actor: GUEST,
      realm: 'realm-default',
      detail: { actor: OWNER },
    })
    expect(entry(forged, TOPIC, by('security'))).toMatchObject({
      type: 'topic:note',
      agentId: null,
      claimed: { agentId: 'clerk' },
      actor: { kind: 'topic', id: 'audit' },
    })
    expect(entry({ ...forged, agentId: 'other' }, CLERK)).toMatchObject({
      type: 'agent:note',
      agentId: 'clerk',
      claimed: { agentId: 'other' },
    })
    expect(entry({ type: 'note' }, CLERK)).toMatchObject({ type: 'agent:note', agentId: 'clerk' })
    expect(entry(forged, OWNER)).toMatchObject({ type: 'note', agentId: 'clerk', actor: OWNER })
    expect(entry(forged, GUEST, by('pulse'))).toMatchObject({ type: 'note', agentId: 'clerk', worker: 'pulse' })
    expect(entry(forged, GUEST, by('pulse'))).not.toHaveProperty('claimed')
  })
})
