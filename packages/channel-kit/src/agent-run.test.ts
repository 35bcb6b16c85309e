import type { Caller } from '@agentos/sdk'
import { describe, expect, it } from 'vitest'
import { endOf, questionOf, type RunLook, whatFor } from './agent-run.ts'

const NASTY = 'a\u202eb\u2066c\u200bd\u009be\n`f'
const UNSEEN = /[\u202e\u2066\u200b\u009b]/

const request = {
  id: 'r',
  agentId: NASTY,
  toolName: NASTY,
  params: { [NASTY]: NASTY, team: '👩‍👧 Grüße' },
  paramsCut: false,
}
const caller = { call: async () => [request], log: { warn: () => {} } } as unknown as Caller

describe('what a person is asked in a chat', () => {
  it('shows what would hide, turn text round or begin a line as what it is, and leaves the rest', async () => {
    const shown = await whatFor(caller, 'r', 'fn::send')
    expect(shown).not.toMatch(UNSEEN)
    const line = 'a\\u202eb\\u2066c\\u200bd\\u009be'
    expect(shown).toContain(`Agent ${line}\\u000a\\u0060f: `)
    expect(shown).toContain(`"${line}\\n\`f": "${line}\\n\`f"`)
    expect(shown).toContain('"team": "👩‍👧 Grüße"')
    expect(await whatFor(caller, 'another', NASTY)).toBe(`\`${line}\\u000a\\u0060f\``)
  })

  it('and what is told of a run, too', async () => {
    const run: RunLook = {
      runId: 'run',
      status: 'parked',
      reason: 'in_doubt',
      question: { step: '1', function: NASTY },
    }
    expect((await questionOf(caller, run, 'owner')).markdown).not.toMatch(UNSEEN)
    const failed: RunLook = { runId: 'run', status: 'failed', error: { code: 'x', message: NASTY } }
    expect(endOf(failed).markdown).not.toMatch(UNSEEN)
  })
})
