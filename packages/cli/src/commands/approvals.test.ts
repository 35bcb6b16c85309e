import { expect, describe as group, it } from 'vitest'
import { describe, visible } from './approvals.ts'

group('a request on the terminal', () => {
  const request = {
    id: 'approval-1',
    agentId: 'clerk',
    toolName: 'fn::email_send',
    effects: 'external',
    params: { to: 'a@example.com' },
    paramsCut: false,
    inputHash: 'ab',
    status: 'pending',
    expiresAt: 61_000,
  }

  it('names who wants to call what with what, and how long it waits', () => {
    const text = describe(request, 1_000)
    for (const part of ['approval-1', 'clerk', 'fn::email_send (external)', '{"to":"a@example.com"}', '60 s left']) {
      expect(text).toContain(part)
    }
  })

  it('says that not everything is shown', () => {
    expect(describe({ ...request, paramsCut: true }, 1_000)).toContain('sha256 of the whole: ab')
  })

  it('cannot move the cursor, turn the text round or hide a part of it', () => {
    expect(visible('a\u001b[2Kb\u202Ec\u200Bd\u009Be\nf')).toBe('a\\u{1b}[2Kb\\u{202e}c\\u{200b}d\\u{9b}e\\u{a}f')
    expect(visible('Grüße, 日本')).toBe('Grüße, 日本')
  })
})
