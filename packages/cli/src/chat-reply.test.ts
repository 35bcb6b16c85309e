import { describe, expect, it } from 'vitest'
import { ChatReply } from './chat-reply.ts'

function reply() {
  let screen = ''
  const chat = new ChatReply(
    (text) => (screen += text),
    (_style, text) => text,
  )
  return { chat, screen: () => screen }
}

describe('a chat on the terminal', () => {
  it('shows text as it arrives, tools on lines of their own, and what it took', () => {
    const { chat, screen } = reply()
    chat.show({ event: 'text', data: { type: 'text', text: 'Let me ' } })
    chat.show({ event: 'text', data: { type: 'text', text: 'look.' } })
    chat.show({ event: 'toolCall', data: { id: 'memory::search', arguments: { query: 'dog' } } })
    chat.show({ event: 'text', data: { text: 'Rex.' } })
    chat.show({
      event: 'done',
      data: {
        model: 'demo/rules',
        sessionId: 's-1',
        durationMs: 12.4,
        usage: { input: 3, output: 4 },
        cost: { microUsd: 0 },
        stopReason: 'stop',
      },
    })
    expect(chat.finish()?.sessionId).toBe('s-1')
    expect(screen()).toBe(
      'Let me look.\n→ memory::search {"query":"dog"}\nRex.\ndemo/rules · 12 ms · 3 → 4 tokens · $0.00 · s-1\n',
    )
  })

  it('shows nothing that acts on the terminal, turns text round or hides it, however it is cut', () => {
    const { chat, screen } = reply()
    for (const text of [
      'a\u001b',
      ']8;;https://evil.example\u0007link\u202e',
      'b\u200b👩\u200d',
      '👧\r',
      '\nc\u009b2J',
    ]) {
      chat.show({ event: 'text', data: { text } })
    }
    chat.show({ event: 'toolCall', data: { id: 'fn::a\u001b[2Kb\n→ fn::c', arguments: { to: 'x\u202ey' } } })
    const error = { code: 'no\u009b', message: 'one\ntwo\u2066' }
    chat.show({ event: 'toolResult', data: { id: 'fn::d\u0007', ok: false, error } })
    chat.show({ event: 'done', data: { model: 'm\u001b[31m', sessionId: 's\n' } })
    chat.finish()
    expect(screen()).toBe(
      [
        'a\\u001b]8;;https://evil.example\\u0007link\\u202eb\\u200b👩\u200d👧',
        'c\\u009b2J',
        '→ fn::a\\u001b[2Kb\\u000a→ fn::c {"to":"x\\u202ey"}',
        '← fn::d\\u0007 failed: no\\u009b: one\\u000atwo\\u2066',
        'm\\u001b[31m · s\\u000a',
        '',
      ].join('\n'),
    )
  })

  it('shows the rest of an answer that ends in the middle of something, and one that comes whole', () => {
    const { chat, screen } = reply()
    chat.show({ event: 'text', data: { text: 'a👩\u200d' } })
    chat.finish()
    expect(screen()).toBe('a👩\\u200d\n')
    const whole = reply()
    whole.chat.show({ event: 'done', data: { content: 'b\u202ec' } })
    whole.chat.finish()
    expect(whole.screen()).toContain('b\\u202ec\n')
    const refused = reply()
    const failed = { code: 'x', title: 'No\u001b[2J', detail: 'why' }
    expect(() => refused.chat.show({ event: 'error', data: failed })).toThrow('No')
  })

  it('says which budget cut the answer off, and how much it was', () => {
    const { chat, screen } = reply()
    chat.show({ event: 'text', data: { text: 'Once upon' } })
    const budget = { message: 'The budget of the session novel ($0.05 per month) has $0.01 left' }
    chat.show({ event: 'done', data: { model: 'm', stopReason: 'budget_exceeded', budget } })
    chat.finish()
    expect(screen()).toBe(`Once upon\nbudget_exceeded: ${budget.message}\nm · stopped: budget_exceeded\n`)
  })

  it('says that a new agent was made, and which, whether or not its first chat came to an end', () => {
    const { chat, screen } = reply()
    chat.show({ event: 'done', data: { content: '391', model: 'm', agentId: 'mistyped', agentCreated: true } })
    chat.finish()
    expect(screen()).toBe('391\na new agent was made: mistyped\nm\n')
    const broken = reply()
    broken.chat.show({ event: 'session', data: { runId: 'run-1', sessionId: 's-1', agentId: 'mistyped' } })
    broken.chat.show({ event: 'text', data: { text: 'Let me look' } })
    const failed = { code: 'x', title: 'No', detail: 'why', details: { agentCreated: true } }
    expect(() => broken.chat.show({ event: 'error', data: failed })).toThrow('No: why')
    expect(broken.screen()).toBe('Let me look\na new agent was made: mistyped\n')
  })

  it('says which tool failed, and why', () => {
    const { chat, screen } = reply()
    chat.show({ event: 'toolResult', data: { id: 'memory::search', ok: true, durationMs: 3 } })
    const error = { code: 'approval_denied', message: 'not on a Sunday' }
    chat.show({ event: 'toolResult', data: { id: 'fn::email_send', ok: false, durationMs: 3, error } })
    expect(screen()).toBe('← fn::email_send failed: approval_denied: not on a Sunday\n')
  })

  it('shows the whole answer of the run anew after the connection broke in it', () => {
    const { chat, screen } = reply()
    chat.show({ event: 'session', data: { runId: 'run-1', sessionId: 's-1' } })
    chat.show({ event: 'text', data: { text: 'Once upon' } })
    expect(chat.run).toBe('run-1')
    chat.rejoin({ content: 'Once upon a time', model: 'm' })
    expect(chat.finish()?.content).toBe('Once upon a time')
    expect(screen()).toBe(
      'Once upon\nthe connection broke; the run went on, and this is its answer:\nOnce upon a time\nm\n',
    )
  })

  it('shows the answer of an agent that streamed nothing', () => {
    const { chat, screen } = reply()
    chat.show({ event: 'done', data: { content: '391', model: 'm' } })
    chat.finish()
    expect(screen()).toBe('391\nm\n')
  })

  it('ends with the problem that the stream reports', () => {
    const { chat } = reply()
    expect(() => chat.show({ event: 'error', data: { code: 'session_busy', title: 'Busy', detail: 'Wait.' } })).toThrow(
      'Busy: Wait.',
    )
  })
})
