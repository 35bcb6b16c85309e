import { type DurableContext, defineFunction, defineWorker, durable } from '@agentos/sdk'
import * as z from 'zod'

/** What the test process serves and counts. */
const act = defineFunction({
  id: 'count::act',
  summary: 'Does something that is counted',
  input: () => z.object({ n: z.number() }),
  output: () => z.object({ n: z.number() }),
  effects: 'write',
  idempotent: true,
})

const ten = defineFunction({
  id: 'durable::ten',
  summary: 'Ten counted steps, one after the other',
  input: () => z.object({ from: z.number() }),
  output: () => z.object({ sum: z.number(), id: z.string(), startedAt: z.number() }),
  effects: 'external',
  durable: true,
})

const fan = defineFunction({
  id: 'durable::fan',
  summary: 'Counted steps side by side, two in each branch',
  input: () => z.object({ items: z.array(z.number()) }),
  output: () => z.array(z.number()),
  effects: 'external',
  durable: true,
})

const ask = defineFunction({
  id: 'durable::ask',
  summary: 'Waits for a person',
  input: () => z.object({ expiresMs: z.number().optional() }),
  output: () => z.unknown(),
  effects: 'external',
  durable: true,
})

const tally = defineFunction({
  id: 'durable::tally',
  summary: 'Writes to the state, one write after the other',
  input: () => z.object({ name: z.string(), writes: z.number() }),
  output: () => z.object({ counted: z.number() }),
  effects: 'external',
  durable: true,
})

const post = defineFunction({
  id: 'durable::post',
  summary: 'What an agent chose, which needs an approval',
  input: () => z.object({ to: z.string() }),
  output: () => z.unknown(),
  effects: 'external',
  durable: true,
})

/** Each value is changed relative to what it was: a write that is made twice is seen, and so is one with a wrong version. */
async function runTally({ name, writes }: { name: string; writes: number }, ctx: DurableContext) {
  let counted = 0
  let version = 0
  for (let n = 1; n <= writes; n++) {
    const ops = [{ type: 'increment' as const, path: 'n', by: 1 }]
    counted = (await ctx.state.update<{ n: number }>('tally', name, ops)).new_value.n
    version = (await ctx.state.set('tally-set', name, n, { expectedVersion: version })).version
  }
  await ctx.state.delete('tally-set', name, { expectedVersion: version })
  return { counted }
}

async function runTen({ from }: { from: number }, ctx: DurableContext) {
  const startedAt = await ctx.now()
  const id = await ctx.newId('ten')
  let sum = 0
  for (let n = from; n < from + 10; n++) {
    sum += (await ctx.call(act, { n })).n
    if (n === from + 5) await ctx.state.set('durable-test', id, { sum })
  }
  return { sum, id, startedAt }
}

await defineWorker({
  name: 'durable-test',
  functions: [
    durable(ten, runTen),
    durable(fan, ({ items }, ctx) =>
      ctx.all(items, async (item, branch) => {
        const first = await branch.call(act, { n: item })
        const second = await branch.call(act, { n: item + 100 })
        return first.n + second.n
      }),
    ),
    durable(tally, runTally),
    durable(post, (letter, ctx) => ctx.trigger({ function_id: 'count::post', payload: letter, agent: 'clerk' })),
    durable(ask, async ({ expiresMs }, ctx) => {
      await ctx.call(act, { n: 1 })
      ctx.onSuspend(() => ({ waits: ctx.run }))
      const answer = await ctx.wait(
        'answer',
        expiresMs === undefined ? {} : { expiresMs, expiredCode: 'approval_expired' },
      )
      await ctx.call(act, { n: 2 })
      return { answer }
    }),
  ],
}).run()
