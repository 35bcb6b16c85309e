import { registerWorker } from '@agentos/sdk'

/**
 * A process with the function `queue::order`; says which job has arrived. While HANG is set it never answers, so that
 * a test can kill it, or the engine, in mid-delivery.
 */
const client = registerWorker(process.env.III_URL ?? '', {})
client.registerFunction('queue::order', (data: unknown) => {
  process.stdout.write(`${JSON.stringify(data)}\n`)
  return process.env.HANG === '1' ? new Promise(() => {}) : null
})
