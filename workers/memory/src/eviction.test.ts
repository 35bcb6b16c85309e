import { expect, test } from 'vitest'
import { type Evictable, planEviction } from './eviction.ts'

const DAY = 86_400_000
const NOW = 1_000 * DAY
const limits = { maxAge: 30 * DAY, minImportance: 0.2, cap: 10_000 }

const memory = (id: string, changes: Partial<Evictable> = {}): Evictable => ({
  id,
  importance: 0.5,
  confidence: 1,
  timestamp: NOW,
  lastAccessed: NOW,
  accessCount: 0,
  pinned: false,
  ...changes,
})
const plan = (memories: Evictable[], over: Partial<typeof limits> = {}) =>
  planEviction(memories, { ...limits, ...over }, NOW).map(({ id, reason }) => `${id} ${reason}`)

test('old and unimportant goes, old and important stays, new and unimportant stays', () => {
  const old = { timestamp: NOW - 31 * DAY }
  expect(plan([memory('a', { ...old, importance: 0.1 }), memory('b', old), memory('c', { importance: 0.1 })])).toEqual([
    'a stale',
  ])
})

test('what decayed to the floor goes when it is unread and not important; what nobody trusts goes at once', () => {
  const unread = { confidence: 0.1, timestamp: NOW - 31 * DAY, lastAccessed: NOW - 31 * DAY }
  expect(
    plan([
      memory('a', { ...unread, importance: 0.3 }),
      memory('b', unread),
      memory('c', { confidence: 0.1, importance: 0.3 }),
      memory('d', { confidence: 0.05 }),
    ]),
  ).toEqual(['a untrusted', 'd untrusted'])
})

test('above the cap the least worth keeping goes, and what is gone already is not counted again', () => {
  const memories = [
    memory('gone', { timestamp: NOW - 40 * DAY, importance: 0.1 }),
    memory('a', { importance: 0.9 }),
    memory('b', { importance: 0.3 }),
    memory('c', { importance: 0.3, accessCount: 20 }),
  ]
  expect(plan(memories, { cap: 2 })).toEqual(['gone stale', 'b over_cap'])
})

test('pinned memories stay over every limit and go only when they expire', () => {
  const pinned = { pinned: true, importance: 0, confidence: 0, timestamp: 0 }
  expect(plan([memory('a', pinned), memory('b', { ...pinned, expiresAt: NOW })], { cap: 0 })).toEqual(['b expired'])
})

test('each memory is in the plan once', () => {
  const worst = memory('a', { expiresAt: 1, confidence: 0, importance: 0, timestamp: 0, supersededBy: 'b' })
  expect(plan([worst], { cap: 0 })).toEqual(['a expired'])
})
