import * as restate from '@restatedev/restate-sdk'
import { serveParent } from '../../src/peer.ts'
import { RUN_STEPS } from '../../src/run-steps.ts'

/** `restate-steps.mjs <port>`: a handler of ten steps that only the journal makes slow. */
const steps = restate.service({
  name: 'steps',
  handlers: {
    run: async (ctx, { text }) => {
      let length = 0
      for (let step = 0; step < RUN_STEPS; step += 1) length += await ctx.run(`step ${step}`, () => text.length)
      return { length }
    },
  },
})
await restate.serve({ services: [steps], port: Number(process.argv[2]) })
serveParent('serving')
