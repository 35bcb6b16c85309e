import { DBOS } from '@dbos-inc/dbos-sdk'
import { drive, payloadOf } from '../../src/load.ts'
import { serveParent } from '../../src/peer.ts'
import { RUN_STEPS } from '../../src/run-steps.ts'

/** `dbos-steps.mjs <address of a database>`: a workflow of ten steps that only the database makes slow. */
const workflow = DBOS.registerWorkflow(
  async ({ text }) => {
    let length = 0
    for (let step = 0; step < RUN_STEPS; step += 1) {
      length += await DBOS.runStep(async () => text.length, { name: `step ${step}` })
    }
    return { length }
  },
  { name: 'steps' },
)
DBOS.setConfig({ name: 'bench', systemDatabaseUrl: process.argv[2], logLevel: 'error' })
await DBOS.launch()

serveParent('launched', (load) => {
  const input = payloadOf(100)
  return drive(() => workflow(input), load)
})
