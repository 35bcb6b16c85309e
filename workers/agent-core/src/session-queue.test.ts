import { describe, expect, it } from 'vitest'
import { SessionQueue } from './session-queue.ts'

const never = new AbortController().signal

describe('chats of one session', () => {
  it('run one after the other, in order', async () => {
    const queue = new SessionQueue()
    const seen: string[] = []
    const first = await queue.enter('s', never)
    const second = queue.enter('s', never).then((leave) => {
      seen.push('second')
      leave()
    })
    const third = queue.enter('s', never).then((leave) => {
      seen.push('third')
      leave()
    })
    await Promise.resolve()
    expect(seen).toEqual([])
    first()
    await Promise.all([second, third])
    expect(seen).toEqual(['second', 'third'])
  })

  it('do not hold up other sessions', async () => {
    const queue = new SessionQueue()
    await queue.enter('one', never)
    await expect(queue.enter('two', never)).resolves.toBeTypeOf('function')
  })

  it('end with session_busy when the turn does not come, and the queue goes on', async () => {
    const queue = new SessionQueue(10)
    const leave = await queue.enter('s', never)
    await expect(queue.enter('s', never)).rejects.toMatchObject({ code: 'session_busy' })
    leave()
    await expect(queue.enter('s', never)).resolves.toBeTypeOf('function')
  })

  it('leave the queue when they are cancelled', async () => {
    const queue = new SessionQueue()
    const leave = await queue.enter('s', never)
    const abort = new AbortController()
    const waiting = queue.enter('s', abort.signal)
    abort.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' })
    leave()
    await expect(queue.enter('s', never)).resolves.toBeTypeOf('function')
  })
})
