import { registerWorker, TriggerAction } from '@agentos/sdk'
import { serveJobs, serveProducer } from './jobs.ts'

/** `queue-peer.ts worker|producer <address>`: the queue `bench` of our engine. */
const [, , role, url] = process.argv as [string, string, string, string]
const client = registerWorker(url)

if (role === 'worker') {
  const jobs = serveJobs()
  client.registerFunction('bench::job', (data) => {
    jobs.done(data)
    return null
  })
  await client.ready()
  jobs.ready()
} else {
  await client.ready()
  const action = TriggerAction.Enqueue({ queue: 'bench' })
  serveProducer((payload) => client.trigger({ function_id: 'bench::job', payload, action }))
}
