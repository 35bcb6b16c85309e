import { appendFileSync, existsSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { AgentError, defineFunction, defineWorker, serve } from '@agentos/sdk'
import * as z from 'zod'

const Parcel = z.object({
  id: z.string(),
  ms: z.number().default(0),
  failures: z.number().default(0),
  /** It is not done before this file is there. */
  gate: z.string().optional(),
})
const Packed = z.object({ id: z.string(), pid: z.number() })

const define = (id: string, effects: 'read' | 'external', http?: string) =>
  defineFunction({
    id,
    summary: `${id} of the tests of calls`,
    input: () => Parcel,
    output: () => Packed,
    effects,
    ...(http === undefined ? {} : { http }),
  })

export const pack = define('parcel::pack', 'external', 'POST /v1/parcel/pack')
export const look = define('parcel::look', 'read')
export const block = define('parcel::block', 'read')

/** Every time that work is begun, one line in a file that outlives the process. */
function note(id: string): number {
  const file = process.env.PARCEL_LOG ?? ''
  appendFileSync(file, `${id} ${process.pid}\n`)
  process.stdout.write(`begun ${id}\n`)
  begun.set(id, (begun.get(id) ?? 0) + 1)
  return begun.get(id)!
}
const begun = new Map<string, number>()

async function work({ id, ms, failures, gate }: z.output<typeof Parcel>): Promise<z.output<typeof Packed>> {
  const times = note(id)
  while (gate !== undefined && !existsSync(gate)) await delay(10)
  if (ms > 0) await delay(ms)
  if (times <= failures) throw new AgentError('upstream_error', `failure ${times} of ${failures}`)
  return { id, pid: process.pid }
}

/** A worker of which two processes may serve. */
export const worker = defineWorker({
  name: 'parcel',
  functions: [
    serve(pack, work),
    serve(look, work),
    serve(block, ({ id, ms }) => {
      const end = performance.now() + ms
      while (performance.now() < end);
      return { id, pid: process.pid }
    }),
  ],
})
