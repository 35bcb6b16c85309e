import { describe, expect, it } from 'vitest'
import type { JournalEvent } from '../runs/journal.ts'
import { applyEvent, applyRunEvent, newAnswer } from './answer.ts'

const after = (...events: [string, unknown][]) =>
  events.reduce((answer, [event, data]) => applyEvent(answer, { event, data }), newAnswer())

const RESULT = {
  content: '391',
  model: 'demo/rules',
  usage: { input: 1, output: 2, total: 3, cached: 0, reasoning: 0 },
  cost: { microUsd: 0, priced: true },
  iterations: 0,
  durationMs: 12,
  sessionId: 's1',
  runId: 'r1',
  agentId: 'default',
  stopReason: 'stop',
  toolCalls: [],
}

it('joins text as it comes and keeps the order of text, thoughts and functions', () => {
  const answer = after(
    ['session', { sessionId: 's1', runId: 'r1', agentId: 'default' }],
    ['reasoning', { text: 'Hm' }],
    ['text', { text: 'Let me ' }],
    ['text', { text: 'look.' }],
    ['toolCall', { callId: 'c1', id: 'memory::recall', arguments: { query: 'dog' } }],
    ['text', { text: 'Rex.' }],
  )
  expect(answer).toMatchObject({ status: 'running', sessionId: 's1', runId: 'r1' })
  expect(answer.pieces).toEqual([
    { kind: 'reasoning', text: 'Hm' },
    { kind: 'text', text: 'Let me look.' },
    { kind: 'call', callId: 'c1', id: 'memory::recall', arguments: { query: 'dog' } },
    { kind: 'text', text: 'Rex.' },
  ])
})

it('gives each result to its own call, in whatever order they come', () => {
  const error = { code: 'not_found', message: 'No such thing' }
  const answer = after(
    ['toolCall', { callId: 'a', id: 'x::y', arguments: {} }],
    ['toolCall', { callId: 'b', id: 'x::y', arguments: {} }],
    ['toolResult', { callId: 'b', id: 'x::y', ok: false, durationMs: 4, error }],
    ['toolResult', { callId: 'a', id: 'x::y', ok: true, durationMs: 9 }],
  )
  expect(answer.pieces).toMatchObject([
    { callId: 'a', outcome: { ok: true, durationMs: 9 } },
    { callId: 'b', outcome: { ok: false, durationMs: 4, error } },
  ])
})

it('is done with the result, whose text counts where nothing was streamed', () => {
  expect(after(['text', { text: '17 × 23 = 391' }], ['done', RESULT])).toMatchObject({
    status: 'done',
    pieces: [{ kind: 'text', text: '17 × 23 = 391' }],
    result: { model: 'demo/rules' },
  })
  expect(after(['done', RESULT]).pieces).toEqual([{ kind: 'text', text: '391' }])
})

it('keeps what was said when the stream ends in an error', () => {
  const problem = { title: 'Too late', detail: 'The model took too long', code: 'upstream_timeout' }
  expect(after(['text', { text: 'So' }], ['error', problem])).toMatchObject({
    status: 'failed',
    problem,
    pieces: [{ kind: 'text', text: 'So' }],
  })
})

it('is not changed by events that a newer engine may send', () => {
  const before = newAnswer()
  expect(applyEvent(before, { event: 'something', data: {} })).toBe(before)
})

it('begins the present answer anew when the model is asked again, and keeps what came before it', () => {
  const answer = after(
    ['text', { text: 'Let me look.' }],
    ['toolCall', { callId: 'c1', id: 'memory::recall', arguments: {} }],
    ['toolResult', { callId: 'c1', id: 'memory::recall', ok: true, durationMs: 3 }],
    ['reasoning', { text: 'So' }],
    ['text', { text: 'He is ca' }],
    ['toolCall', { callId: 'c2', id: 'memory::store', arguments: {} }],
    ['restart', {}],
    ['text', { text: 'He is called Rex.' }],
  )
  expect(answer.pieces).toMatchObject([
    { kind: 'text', text: 'Let me look.' },
    { kind: 'call', callId: 'c1' },
    { kind: 'text', text: 'He is called Rex.' },
  ])
  expect(after(['text', { text: 'He' }], ['restart', {}], ['text', { text: 'Rex' }]).pieces).toEqual([
    { kind: 'text', text: 'Rex' },
  ])
})

describe('an answer that waits for a person', () => {
  const email = { kind: 'call', name: 'fn::email_send' }
  const waiting = after(
    ['text', { text: 'I write to them.' }],
    ['toolCall', { callId: 'c1', id: 'fn::email_send', arguments: { to: 'a@example.com' } }],
    ['done', { ...RESULT, content: 'fn::email_send waits for an approval', stopReason: 'waiting' }],
  )
  const then = (...events: Omit<JournalEvent, 'eventId' | 'at'>[]) =>
    events.reduce((answer, event, n) => applyRunEvent(answer, { eventId: n + 1, at: n, ...event }), waiting)
  const asked = { type: 'waiting', step: '9', call: email, signal: 'approval:a1' }
  const approved = { type: 'signal', name: 'approval:a1' }

  it('does not take the word that it waits for the answer', () => {
    expect(waiting).toMatchObject({ status: 'waiting', runId: 'r1', waitsFor: { for: 'approval' } })
    expect(JSON.stringify(waiting.pieces)).not.toContain('waits')
  })

  it('says what it waits for, goes on when that is decided, and ends with the result of the run', () => {
    expect(then(asked)).toMatchObject({ status: 'waiting', waitsFor: { functionId: 'fn::email_send' } })
    const going = then(asked, approved)
    expect(going.status).toBe('running')
    expect(going.waitsFor).toBeUndefined()
    const toolCalls = [
      { callId: 'c1', id: 'fn::email_send', arguments: {}, ok: true, durationMs: 5 },
      { callId: 'c2', id: 'memory::store', arguments: { text: 'x' }, ok: true, durationMs: 1 },
    ]
    const ended = then(asked, approved, { type: 'finished', status: 'done', result: { ...RESULT, toolCalls } })
    expect(ended).toMatchObject({
      status: 'done',
      pieces: [
        { kind: 'text', text: 'I write to them.' },
        { callId: 'c1', outcome: { ok: true } },
        { callId: 'c2', id: 'memory::store', outcome: { ok: true } },
        { kind: 'text', text: '391' },
      ],
    })
  })

  it('says that a step is in doubt, and how it failed or was stopped', () => {
    const doubt = { type: 'parked', reason: 'in_doubt', step: '9', call: email }
    expect(then(asked, approved, doubt).waitsFor).toEqual({ for: 'doubt', functionId: 'fn::email_send' })
    const end = (code: string) => then(asked, { type: 'finished', error: { code, message: 'why' } })
    expect(end('cancelled')).toMatchObject({ status: 'stopped' })
    expect(end('run_crashed')).toMatchObject({ status: 'failed', problem: { code: 'run_crashed', detail: 'why' } })
  })
})

it('says that its agent is new, whether it is done, failed or waits, and when it went on from there', () => {
  const session: [string, unknown] = ['session', { sessionId: 's1', runId: 'r1', agentId: 'mistyped' }]
  const isNew = { agentId: 'mistyped', agentCreated: true }
  const result = { ...RESULT, ...isNew }
  const problem = { title: 'No', detail: 'why', code: 'x', details: { agentCreated: true } }
  expect(after(session, ['done', result])).toMatchObject({ status: 'done', ...isNew })
  expect(after(session, ['error', problem])).toMatchObject({ status: 'failed', ...isNew })
  const waiting = after(session, ['done', { ...result, stopReason: 'waiting' }])
  expect(waiting).toMatchObject({ status: 'waiting', ...isNew })
  const end = (more: object) => ({ eventId: 9, at: 0, type: 'finished', ...more }) as JournalEvent
  expect(applyRunEvent(waiting, end({ result }))).toMatchObject({ status: 'done', ...isNew })
  const lost = after(session)
  const failure = { code: 'x', message: 'why', details: { agentCreated: true } }
  expect(applyRunEvent(lost, end({ error: failure }))).toMatchObject({ status: 'failed', ...isNew })
  expect(after(['done', RESULT])).not.toHaveProperty('agentCreated')
})
