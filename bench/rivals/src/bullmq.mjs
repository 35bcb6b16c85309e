import { Queue, Worker } from 'bullmq'
import { serveJobs, serveProducer } from '../../src/jobs.ts'

/** `bullmq.mjs worker|producer <port> <concurrency>` */
const [, , role, port, concurrency] = process.argv
const connection = { host: '127.0.0.1', port: Number(port) }

if (role === 'worker') {
  const jobs = serveJobs()
  const worker = new Worker('bench', async ({ data }) => jobs.done(data), {
    connection,
    concurrency: Number(concurrency),
    // As ours: what is done is not kept.
    removeOnComplete: { count: 0 },
  })
  await worker.waitUntilReady()
  jobs.ready()
} else {
  const queue = new Queue('bench', { connection })
  await queue.waitUntilReady()
  serveProducer((data) => queue.add('job', data))
}
