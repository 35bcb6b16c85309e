import { join } from 'node:path'
import { Agent } from '@mastra/core/agent'
import { createDurableAgent } from '@mastra/core/agent/durable'
import { Mastra } from '@mastra/core/mastra'
import { createTool } from '@mastra/core/tools'
import { LibSQLStore } from '@mastra/libsql'
import * as z from 'zod'
import { INSTRUCTIONS, promptOf, TOOLS } from '../../unplug/src/task.ts'
import { callTool, folder, serveTasks, world } from './serve-tasks.mjs'

const tools = Object.fromEntries(
  TOOLS.map(({ name, description }) => [
    name,
    createTool({
      id: name,
      description,
      inputSchema: z.object({ task: z.string(), step: z.number().int() }),
      execute: (input, context) => callTool(name, input, context?.agent?.toolCallId),
    }),
  ]),
)
const clerk = createDurableAgent({
  agent: new Agent({
    id: 'clerk',
    name: 'clerk',
    instructions: INSTRUCTIONS,
    model: { id: 'openai/gpt-sim', url: `${world}/v1`, apiKey: 'test' },
    tools,
  }),
})
const mastra = new Mastra({
  agents: { clerk },
  storage: new LibSQLStore({ id: 'store', url: `file:${join(folder, 'mastra.db')}` }),
  recovery: { durableAgents: 'auto' },
  logger: false,
})
await mastra.getStorage()?.init()

/** As the guide on durable agents says: what is found `running` is recovered from its last snapshot. */
async function run(task) {
  const { runs } = await clerk.listActiveRuns()
  const begun = runs.some(({ runId }) => runId === task)
  const { output, cleanup } = begun
    ? await clerk.recover(task)
    : await clerk.stream(promptOf(task), { runId: task, maxSteps: 50 })
  const answer = await output.text
  const error = output.error
  cleanup()
  return error ? { how: 'failed', error: String(error?.message ?? error) } : { how: 'finished', answer }
}

serveTasks(run)
