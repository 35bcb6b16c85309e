import { beforeEach, describe, expect, it } from 'vitest'
import { Conversations } from './conversations.ts'
import { MemoryState } from './memory-state.fixture.ts'

let conversations: Conversations
beforeEach(() => {
  conversations = new Conversations({ state: new MemoryState(), scope: 'conversations', channel: 'test' })
})

describe('a conversation', () => {
  it('takes agent and session along when it becomes another one, and counts its places anew', async () => {
    await conversations.bind('group', 'sailor')
    await conversations.renew('group')
    await conversations.stop('group', 50)
    const before = await conversations.get('group')
    await conversations.move('group', 'supergroup')
    const now = await conversations.get('supergroup')
    expect(now).toEqual({ ...before, stoppedAt: -1 })
    // By its old name it is the same.
    expect(await conversations.get('group')).toEqual(now)
    await conversations.renew('group')
    expect((await conversations.get('supergroup')).sessionId).not.toBe(before.sessionId)
    expect(await conversations.bound()).toEqual([{ conversation: 'supergroup', agentId: 'sailor' }])
  })

  it('keeps what was chosen where it went, and moves once however often that is said', async () => {
    await conversations.bind('group', 'sailor')
    await conversations.renew('group')
    await conversations.bind('supergroup', 'cook')
    await conversations.renew('supergroup')
    await conversations.stop('supergroup', 3)
    const move = () => conversations.move('group', 'supergroup')
    await Promise.all([move(), move(), move()])
    await move()
    expect(await conversations.get('supergroup')).toEqual({ agentId: 'cook', sessionId: 'test:group:2', stoppedAt: 3 })
  })

  it('that moved is followed over several moves, and one that never moved is left alone', async () => {
    await conversations.move('a', 'b')
    await conversations.move('b', 'c')
    expect((await conversations.get('a')).sessionId).toBe('test:a')
    expect((await conversations.get('d')).sessionId).toBe('test:d')
    expect(await conversations.bound()).toEqual([])
  })
})
