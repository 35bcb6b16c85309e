import { describe, expect, it } from 'vitest'
import { SessionQueue } from './session-queue.ts'
import { SessionTurn } from './session-turn.ts'

/** An attempt whose recorded steps are over when `replaying` is set to false. */
function attempt({ replaying = false, following = false } = {}) {
  const abort = new AbortController()
  return { replaying, following, signal: abort.signal, abort: () => abort.abort() }
}

describe('the turn of a chat', () => {
  it('is waited for, for a while, by a chat that begins', async () => {
    const queue = new SessionQueue(1)
    await queue.enter('s', attempt().signal)
    await expect(new SessionTurn(queue, 's', attempt()).take()).rejects.toMatchObject({ code: 'session_busy' })
  })

  it('is waited for by a run that goes on, however long the session is busy', async () => {
    const queue = new SessionQueue(1)
    const leave = await queue.enter('s', attempt().signal)
    const resumed = attempt({ replaying: true })
    const turn = new SessionTurn(queue, 's', resumed)
    await turn.take()
    resumed.replaying = false
    let isTaken = false
    const taken = turn.take().then(() => {
      isTaken = true
    })
    // Begun later, and given up before the one that goes on has its turn.
    await expect(queue.enter('s', attempt().signal)).rejects.toMatchObject({ code: 'session_busy' })
    expect(isTaken).toBe(false)
    leave()
    await taken
    turn.leave()
    await expect(queue.enter('s', attempt().signal)).resolves.toBeTypeOf('function')
  })

  it('is given up by a run that is cancelled, while it waits or before', async () => {
    const queue = new SessionQueue(1)
    await queue.enter('s', attempt().signal)
    for (const when of ['before', 'while'] as const) {
      const resumed = attempt({ replaying: true })
      const turn = new SessionTurn(queue, 's', resumed)
      await turn.take()
      resumed.replaying = false
      if (when === 'before') resumed.abort()
      const taken = turn.take()
      if (when === 'while') resumed.abort()
      await expect(taken).rejects.toMatchObject({ code: 'cancelled' })
    }
  })

  it('is not needed for what is recorded, nor by who follows, and is taken once', async () => {
    const queue = new SessionQueue(1)
    const leave = await queue.enter('s', attempt().signal)
    await new SessionTurn(queue, 's', attempt({ replaying: true })).take()
    await new SessionTurn(queue, 's', attempt({ following: true })).take()
    leave()
    const turn = new SessionTurn(queue, 's', attempt())
    await turn.take()
    await turn.take()
    turn.leave()
    turn.leave()
    await expect(queue.enter('s', attempt().signal)).resolves.toBeTypeOf('function')
  })
})
