import { registerWorker } from '@agentos/sdk'

/** A process whose one function never answers; it says when a call has arrived. Killed by the test. */
const client = registerWorker(process.env.III_URL ?? '', {})
client.registerFunction('mid::call', () => {
  process.stdout.write('called\n')
  return new Promise(() => {})
})
