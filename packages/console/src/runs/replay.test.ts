import { expect, it } from 'vitest'
import { replayText } from './replay.ts'

const call = { kind: 'call', name: 'a::b' }

it('says that a replay is the same, and how far it came', () => {
  expect(replayText({ ok: true, divergences: [], resultEqual: true })).toContain('every step, and the result')
  expect(replayText({ ok: true, divergences: [], endedAt: '4' })).toContain('up to step 4')
})

it('names each step that differs, and another result', () => {
  const divergences = [
    { step: '2', recorded: call, asked: null },
    { step: '3', recorded: null, asked: { kind: 'work', name: 'now' } },
  ]
  expect(replayText({ ok: false, divergences, resultEqual: false })).toBe(
    'The replay differs: step 2: recorded call a::b, asked for nothing; step 3: recorded nothing, asked for work now; the result is another one.',
  )
})
