import { expect, describe as group, it } from 'vitest'
import { describe } from './approvals.ts'

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
    const nasty = 'a\u001b[2Kb\u202Ec\u200Bd\u009Be\nf'
    const shown = describe(
      {
        ...request,
        id: nasty,
        agentId: nasty,
        toolName: nasty,
        params: { to: nasty, for: 'Grüße, 日本' },
        decidedBy: nasty,
        status: 'denied',
      },
      1_000,
    )
    expect(shown).not.toMatch(/[\u202e\u200b\u009b]/)
    expect(shown).not.toContain('\u001b[2K')
    expect(shown.match(/a\\u001b\[2Kb\\u202ec\\u200bd\\u009be\\u000af/g)).toHaveLength(4)
    expect(shown).toContain('{"to":"a\\u001b[2Kb\\u202ec\\u200bd\\u009be\\nf","for":"Grüße, 日本"}')
  })
})
