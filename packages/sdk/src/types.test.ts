import { expect, it } from 'vitest'
import * as z from 'zod'
import { type Caller, defineFunction, type HandlerContext, serve } from './index.ts'

/** What is marked here must not compile; `tsc` fails where it does. */

const search = defineFunction({
  id: 'memory::search',
  summary: 'Best matching memories of an agent',
  input: () => z.object({ agentId: z.string(), query: z.string(), limit: z.number().int().default(10) }),
  output: () => z.array(z.object({ id: z.string(), score: z.number() })),
  effects: 'read',
})

async function callsOfOtherWorkers(ctx: Caller): Promise<string | undefined> {
  const hits = await ctx.call(search, { agentId: 'a', query: 'q' })
  // @ts-expect-error a misspelt field
  await ctx.call(search, { agentId: 'a', qery: 'q' })
  // @ts-expect-error a field of the wrong type
  await ctx.call(search, { agentId: 'a', query: 'q', limit: '10' })
  // @ts-expect-error a missing field
  await ctx.call(search, { agentId: 'a' })
  // @ts-expect-error a misspelt field of the output
  hits[0]?.scor
  return hits[0]?.id
}

export const served = [
  serve(search, async (input, _ctx: HandlerContext) => [{ id: input.query, score: input.limit }]),
  // @ts-expect-error an output that the contract does not have
  serve(search, async () => [{ id: 'x' }]),
  // @ts-expect-error a field that the input does not have
  serve(search, async (input) => [{ id: input.qery, score: 1 }]),
]

it('types calls and handlers from the contract', () => {
  expect(callsOfOtherWorkers).toBeTypeOf('function')
})
