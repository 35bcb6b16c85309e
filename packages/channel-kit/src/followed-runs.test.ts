import { type Caller, InvocationError, openLog, StateClient } from '@agentos/sdk'
import { describe, expect, it } from 'vitest'
import { FollowedRuns } from './followed-runs.ts'
import { MemoryState } from './memory-state.fixture.ts'
import { Outbox } from './outbox.ts'
import { Pacer } from './pacer.ts'
import { words } from './words.ts'

const WAITING = {
  runId: 'run-1',
  status: 'waiting',
  reason: 'approval',
  question: { step: '1', function: 'fn::email_send', signal: 'approval:approval-1' },
} as const

/** `askOwners` fails once with `failure`. */
async function start(failure: Error) {
  const asked: string[] = []
  const failures = [failure]
  const trigger = async () => []
  const self: Caller = {
    trigger: trigger as unknown as Caller['trigger'],
    call: trigger as unknown as Caller['call'],
    state: new StateClient(trigger),
    log: await openLog('test', 'silent'),
  }
  const outbox = new Outbox({
    state: new MemoryState(),
    scope: 'outbox',
    transport: { send: async () => '1', edit: async () => {} },
    pacer: new Pacer({ intervalMs: () => 0, overall: { count: 100, perMs: 1 } }),
    log: { warn: () => {} },
  })
  const askOwners = async (requestId: string): Promise<void> => {
    const next = failures.shift()
    if (next) throw next
    asked.push(requestId)
  }
  const runs = new FollowedRuns({ self, scope: 'runs', outbox, limit: 4_000, askOwners })
  return { runs, asked }
}

describe('a question that owners have to be asked', () => {
  it('is asked again where they could not be reached for now', async () => {
    const { runs, asked } = await start(new InvocationError({ code: 'engine_lost', message: 'The engine restarts' }))
    await expect(runs.question(WAITING, 'user')).rejects.toMatchObject({ code: 'engine_lost' })
    expect(await runs.question(WAITING, 'user')).toEqual({ markdown: words.waitsForOwner })
    expect(asked).toEqual(['approval-1'])
  })

  it('is given to the asker all the same where they never can be', async () => {
    const { runs, asked } = await start(new Error('no owner is paired'))
    expect(await runs.question(WAITING, 'user')).toEqual({ markdown: words.waitsForOwner })
    expect(asked).toEqual([])
  })
})
