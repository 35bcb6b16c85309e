import { defineFunction, defineWorker, registerWorker, serve } from '@agentos/sdk'
import * as z from 'zod'
import { serveParent } from './peer.ts'
import { RelayClient } from './relay-client.ts'

/** Serves `bench::echo`: `echo-worker.ts engine|relay <address>`. */
const [, , kind, url] = process.argv as [string, string, string, string]

if (kind === 'relay') {
  const client = await RelayClient.connect(url)
  client.serve('bench::echo', (data) => data)
} else {
  const client = registerWorker(url)
  client.registerFunction('bench::echo', (data) => data)
  // The same over HTTP: as a trigger of the protocol, and as the route of a contract.
  client.registerFunction('bench::http', (request) => ({
    status_code: 200,
    body: { text: (request as { body: { text: string } }).body.text },
  }))
  client.registerTrigger({
    type: 'http',
    function_id: 'bench::http',
    config: { api_path: '/bench/trigger', http_method: 'POST' },
  })
  await client.ready()
  const echo = defineFunction({
    id: 'bench::contract',
    summary: 'Answers with its input',
    input: () => z.object({ text: z.string() }),
    output: () => z.object({ text: z.string() }),
    http: 'POST /bench/contract',
    effects: 'read',
  })
  await defineWorker({ name: 'bench', functions: [serve(echo, ({ text }) => ({ text }))] }).connect({ url })
}
serveParent('serving')
