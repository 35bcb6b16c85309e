import type { Principal } from '@agentos/sdk'
import { expect, it } from 'vitest'
import { deciderOf } from './decider.ts'

const CHANNELS = ['channel-telegram']
const PERSON = { id: '1001' }

function decider(principal: Principal, person?: { id: string }, run?: string): string {
  return deciderOf({ functionId: 'approval::decide', principal, run }, person, CHANNELS)
}

it('is the owner, or the person for whom a channel speaks of its own accord', () => {
  expect(decider({ kind: 'owner', id: 'owner' })).toBe('owner:owner')
  expect(decider({ kind: 'system', id: 'channel-telegram' }, PERSON)).toBe('channel-telegram:1001')
})

it.each<[string, Principal, { id: string } | undefined, string | undefined]>([
  ['a channel that names nobody', { kind: 'system', id: 'channel-telegram' }, undefined, undefined],
  ['a channel within a chat that it began', { kind: 'system', id: 'channel-telegram' }, PERSON, 'run-1'],
  ['a worker that is no channel', { kind: 'system', id: 'toolbox' }, PERSON, undefined],
  ['the engine', { kind: 'system', id: 'engine' }, PERSON, undefined],
  ['a channel on behalf of an agent', { kind: 'agent', id: 'clerk' }, PERSON, undefined],
  ['an agent with the name of a channel', { kind: 'agent', id: 'channel-telegram' }, PERSON, undefined],
  ['a guest', { kind: 'guest', id: 'guest' }, PERSON, undefined],
  ['a guest with the name of a channel', { kind: 'guest', id: 'channel-telegram' }, PERSON, undefined],
  ['a worker principal with the name of a channel', { kind: 'worker', id: 'channel-telegram' }, PERSON, undefined],
  ['the owner in the name of somebody else', { kind: 'owner', id: 'owner' }, PERSON, undefined],
])('is not %s', (_who, principal, person, run) => {
  expect(() => decider(principal, person, run)).toThrow(expect.objectContaining({ code: 'forbidden' }))
})
