import type { Logger } from 'pino'
import { expect, it } from 'vitest'
import * as z from 'zod'
import { defineFunction } from './contract.ts'
import { OutputCheck } from './output-check.ts'

let looked = 0
const contract = (id: string) =>
  defineFunction({
    id,
    summary: '',
    input: () => z.object({}),
    output: () => z.object({ text: z.string().refine(() => (looked += 1)) }),
    effects: 'read',
  })
const told: string[] = []
const log = { error: ({ err }: { err: Error }) => told.push(err.message) } as unknown as Logger

it('looks at one output a second of each function, and tells a wrong one once', () => {
  let now = 5
  const check = new OutputCheck(false, () => now)
  const [get, set] = [contract('a::get'), contract('a::set')]
  for (let n = 0; n < 10; n += 1) for (const each of [get, set]) check.look(each, { text: 'x' }, log)
  expect(looked).toBe(2)
  check.look(get, { txt: 'x' }, log)
  expect(told).toEqual([])
  for (let n = 0; n < 5; n += 1) {
    now += 1_000
    check.look(get, { txt: 'x' }, log)
  }
  expect(told).toEqual([expect.stringMatching(/^a::get returned what its contract does not allow: text: /)])
  check.look(set, { txt: 'x' }, log)
  expect(told).toHaveLength(2)
})
