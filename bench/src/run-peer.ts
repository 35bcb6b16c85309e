import { defineFunction, defineWorker, durable, registerWorker } from '@agentos/sdk'
import * as z from 'zod'
import { drive, type Load, payloadOf } from './load.ts'
import { serveParent } from './peer.ts'
import { RUN_STEPS } from './run-steps.ts'

/** `run-peer.ts worker|caller <address>`: a durable function of ten steps that only the journal makes slow. */
const [, , role, url] = process.argv as [string, string, string, string]

if (role === 'worker') {
  const steps = defineFunction({
    id: 'bench::steps',
    summary: 'Ten steps',
    input: () => z.looseObject({ text: z.string() }),
    output: () => z.object({ length: z.number().int() }),
    effects: 'write',
    durable: true,
  })
  const run = durable(steps, async ({ text }, ctx) => {
    let length = 0
    for (let step = 0; step < RUN_STEPS; step += 1) length += await ctx.step(`step ${step}`, () => text.length)
    return { length }
  })
  await defineWorker({ name: 'bench-runs', functions: [run] }).connect({ url })
  serveParent('serving')
} else {
  const client = registerWorker(url)
  await client.ready()
  const payload = payloadOf(100)
  serveParent('connected', (load: Load) => drive(() => client.trigger({ function_id: 'bench::steps', payload }), load))
}
