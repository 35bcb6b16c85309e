import { type DurableContext, defineFunction, defineWorker, durable } from '@agentos/sdk'
import * as z from 'zod'

/** Runs that stand still: one because nobody knows what became of its step, one that waits for an answer. */
const define = (id: string) =>
  defineFunction({
    id,
    summary: `${id} of the fault matrix`,
    input: () => z.object({}),
    output: z.unknown,
    effects: 'external',
    durable: true,
  })

await defineWorker({
  name: 'faults-runs',
  functions: [
    durable(define('faults::doubt'), (_input, ctx: DurableContext) => ctx.trigger({ function_id: 'faults::risky' })),
    durable(define('faults::ask'), (_input, ctx: DurableContext) => ctx.wait('answer')),
  ],
}).run()
