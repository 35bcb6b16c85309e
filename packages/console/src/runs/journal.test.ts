import { expect, it } from 'vitest'
import { type JournalEvent, storyOf } from './journal.ts'

const call = { kind: 'call', name: 'llm::complete' }
const events = (...given: Omit<JournalEvent, 'eventId'>[]): JournalEvent[] =>
  given.map((event, index) => ({ eventId: index + 1, ...event }))

it('tells the steps with their times, what they cost, and which process recorded them', () => {
  const story = storyOf(
    events(
      { at: 100, type: 'started', input: { message: 'hi' } },
      { at: 101, type: 'attempt', attempt: 1, pid: 7 },
      { at: 104, type: 'result', step: '1', call: { kind: 'work', name: 'begin' }, outcome: { ok: true } },
      { at: 110, type: 'intent', step: '2', call },
      { at: 200, type: 'attempt', attempt: 2, pid: 8 },
      {
        at: 350,
        type: 'result',
        step: '2',
        call,
        outcome: { ok: true, value: { cost: { microUsd: 42 }, usage: { total: 7 } } },
      },
      { at: 360, type: 'finished', status: 'done', result: 'hello' },
    ),
  )
  expect(story).toMatchObject({
    input: { message: 'hi' },
    attempts: [{ number: 1, pid: 7 }, { number: 2 }],
    end: { status: 'done', result: 'hello' },
    steps: [
      { key: '1', kind: 'work', name: 'begin', startedAt: 101, endedAt: 104, attempt: { number: 1, pid: 7 } },
      {
        key: '2',
        state: 'done',
        startedAt: 110,
        endedAt: 350,
        attempt: { number: 2, pid: 8 },
        microUsd: 42,
        tokens: 7,
      },
    ],
  })
})

it('shows a step that waits or is in doubt as such, until somebody decides', () => {
  const email = { kind: 'call', name: 'fn::email_send' }
  const waits: Omit<JournalEvent, 'eventId'>[] = [
    { at: 1, type: 'attempt', attempt: 1 },
    { at: 2, type: 'waiting', step: '2', call: email, signal: 'approval:a' },
  ]
  const steps = (...more: Omit<JournalEvent, 'eventId'>[]) => storyOf(events(...waits, ...more)).steps
  expect(steps()).toMatchObject([{ state: 'waiting', name: 'fn::email_send' }])
  expect(steps({ at: 3, type: 'signal', name: 'approval:b' })).toMatchObject([{ state: 'waiting' }])
  const approved = { at: 3, type: 'signal', name: 'approval:a' }
  expect(steps(approved)).toMatchObject([{ state: 'open' }])
  const parked = { at: 4, type: 'parked', reason: 'in_doubt', step: '2', call: email }
  expect(steps(approved, parked)).toMatchObject([{ state: 'in_doubt' }])
  expect(steps(approved, parked, { at: 5, type: 'resumed', step: '2', answer: 'repeat' })).toMatchObject([
    { state: 'open' },
  ])
  const outcome = { ok: false, error: { code: 'approval_denied', message: '' } }
  expect(steps({ at: 5, type: 'result', step: '2', call: email, outcome })).toMatchObject([
    { state: 'failed', outcome: { code: 'approval_denied' } },
  ])
})

it('knows what was taken over from another run', () => {
  const story = storyOf(
    events(
      { at: 100, type: 'started', input: {} },
      { at: 101, type: 'result', step: '1', call, outcome: { ok: true }, from: 'run-before' },
    ),
  )
  expect(story.steps).toMatchObject([{ state: 'done', copied: true }])
})

it('shows a step as open again whose failure counts no more', () => {
  const story = storyOf(
    events(
      { at: 1, type: 'started', input: {} },
      { at: 2, type: 'result', step: '1', call, outcome: { ok: false, error: { code: 'rate_limited', message: '' } } },
      { at: 3, type: 'reopened', steps: ['1'] },
    ),
  )
  expect(story.steps).toEqual([expect.objectContaining({ key: '1', state: 'open' })])
  expect(story.steps[0]).not.toHaveProperty('outcome')
})
