import { defineWorker, type HandlerContext, serve } from '@agentos/sdk'
import type { ToolArguments, ToolName } from '../src/task.ts'
import { charge, lookUp, notify } from './contracts.ts'

const world = process.env.WORLD!

const callTool =
  (name: ToolName) =>
  async (input: ToolArguments, ctx: HandlerContext): Promise<{ receipt: string }> => {
    const response = await fetch(`${world}/tools/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': ctx.idempotencyKey ?? '' },
      body: JSON.stringify(input),
    })
    if (!response.ok) throw new Error(`${name} answered ${response.status}`)
    return (await response.json()) as { receipt: string }
  }

export const worker = defineWorker({
  name: 'unplug',
  functions: [serve(lookUp, callTool('look_up')), serve(charge, callTool('charge')), serve(notify, callTool('notify'))],
})
