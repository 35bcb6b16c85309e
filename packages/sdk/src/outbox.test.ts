import { expect, it } from 'vitest'
import { Outbox } from './outbox.ts'

it('gives back in order what was added, once', () => {
  const outbox = new Outbox({ messages: 10, size: 100 }, () => true)
  outbox.add('a')
  outbox.add('b', 'id')
  expect(outbox.take().map(({ text }) => text)).toEqual(['a', 'b'])
  expect(outbox.take()).toEqual([])
})

it('refuses past the number of messages and past their size', () => {
  const byCount = new Outbox({ messages: 2, size: 100 }, () => true)
  expect([byCount.add('a'), byCount.add('b'), byCount.add('c')]).toEqual([true, true, false])
  const bySize = new Outbox({ messages: 10, size: 5 }, () => true)
  expect([bySize.add('abc'), bySize.add('def')]).toEqual([true, false])
})

it('makes room by forgetting calls that nobody waits for', () => {
  const wanted = new Set(['1', '2'])
  const outbox = new Outbox({ messages: 2, size: 100 }, (id) => wanted.has(id))
  outbox.add('a', '1')
  outbox.add('b', '2')
  wanted.delete('1')
  expect(outbox.add('c')).toBe(true)
  expect(outbox.take().map(({ text }) => text)).toEqual(['b', 'c'])
})
