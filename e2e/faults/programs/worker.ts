import { setTimeout as delay } from 'node:timers/promises'
import { InvocationError, registerWorker } from '@agentos/sdk'

/**
 * A process that is killed in mid-call. Each of its functions has one effect, in the state of the engine: the plain one
 * counts its runs, the keyed one takes its key once, as a handler that may be run again has to.
 */
interface Work {
  id: string
  /** Before the effect, and again after it: a kill falls on both sides. */
  holdMs: number
}

const client = registerWorker(process.env.III_URL ?? '', {
  group: 'faults',
  instance: String(process.pid),
  workerName: `faults-${process.pid}`,
})

client.registerFunction('faults::plain', async ({ id, holdMs }: Work) => {
  process.stdout.write(`${id}\n`)
  await delay(holdMs)
  await count('faults-plain', id)
  await delay(holdMs)
  return { id }
})

client.registerFunction(
  'faults::keyed',
  async ({ id, holdMs }: Work) => {
    process.stdout.write(`${id}\n`)
    await delay(holdMs)
    await take(id)
    await delay(holdMs)
    return { id }
  },
  // Only what says so is repeated after the loss of its process.
  { metadata: { effects: 'write', idempotent: true } },
)

/** Nothing is left to do after the wait but to answer. */
client.registerFunction('faults::early', async ({ id, holdMs }: Work) => {
  await count('faults-early', id)
  // Its time runs before anybody hears of it, so that who stops this process then stops it within that time.
  const held = delay(holdMs)
  process.stdout.write(`${id}\n`)
  await held
  return { id }
})

async function count(scope: string, key: string): Promise<void> {
  const ops = [{ type: 'increment', path: 'runs', by: 1 }]
  await client.trigger({ function_id: 'state::update', payload: { scope, key, ops } })
}

async function take(key: string): Promise<void> {
  const payload = { scope: 'faults-keyed', key, value: process.pid, expectedVersion: 0 }
  try {
    await client.trigger({ function_id: 'state::set', payload })
  } catch (error) {
    if (!(error instanceof InvocationError && error.code === 'version_conflict')) throw error
  }
}

await client.ready()
process.stdout.write('ready\n')
