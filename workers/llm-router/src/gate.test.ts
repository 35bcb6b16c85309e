import { describe, expect, it } from 'vitest'
import { Gate } from './gate.ts'

const { signal } = new AbortController()

describe('the requests to a provider', () => {
  it('of guests have half of the places and half of the queue; the owner is neither refused nor behind them', async () => {
    const gate = new Gate('mock', 2, 4)
    const order: string[] = []
    const enter = async (who: string, ofGuests: boolean): Promise<() => void> => {
      const leave = await gate.enter(signal, ofGuests)
      order.push(who)
      return leave
    }
    const guest = await enter('guest', true)
    const waiting = [enter('guest 2', true), enter('guest 3', true)]
    await expect(gate.enter(signal, true)).rejects.toMatchObject({ code: 'overloaded' })
    const mine = await enter('mine', false)
    const next = enter('mine 2', false)
    guest()
    const mine2 = await next
    expect(order).toEqual(['guest', 'mine', 'mine 2'])
    mine()
    const guest2 = await waiting[0]!
    mine2()
    guest2()
    ;(await waiting[1]!)()
    expect(order).toEqual(['guest', 'mine', 'mine 2', 'guest 2', 'guest 3'])
  })
})
