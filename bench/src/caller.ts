import { registerWorker } from '@agentos/sdk'
import { drive, type Load, payloadOf } from './load.ts'
import { serveParent } from './peer.ts'
import { RelayClient } from './relay-client.ts'

export type CallerQuestion = Load & ({ bytes: number } | { durable: true })

/** Calls `bench::echo`, or writes durably: `caller.ts engine|relay <address>`. */
const [, , kind, url] = process.argv as [string, string, string, string]

const call = await connect()

async function connect(): Promise<(functionId: string, payload: unknown) => Promise<unknown>> {
  if (kind === 'relay') {
    const relay = await RelayClient.connect(url)
    return (functionId, payload) => relay.call(functionId, payload)
  }
  const client = registerWorker(url)
  await client.ready()
  return (function_id, payload) => client.trigger({ function_id, payload })
}

serveParent('connected', (question: CallerQuestion) => {
  if ('durable' in question) {
    const value = payloadOf(100)
    return drive((index) => call('state::set', { scope: 'bench', key: `key-${index % 1_000}`, value }), question)
  }
  const payload = payloadOf(question.bytes)
  return drive(() => call('bench::echo', payload), question)
})
