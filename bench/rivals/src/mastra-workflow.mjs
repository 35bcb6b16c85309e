import { join } from 'node:path'
import { Agent } from '@mastra/core/agent'
import { Mastra } from '@mastra/core/mastra'
import { createTool } from '@mastra/core/tools'
import { createStep, createWorkflow } from '@mastra/core/workflows'
import { LibSQLStore } from '@mastra/libsql'
import * as z from 'zod'
import { INSTRUCTIONS, promptOf, TOOLS } from '../../unplug/src/task.ts'
import { callTool, folder, serveTasks, world } from './serve-tasks.mjs'

/** Without `execute` the model's calls are handed back, so that asking and acting are steps of their own. */
const clientTools = Object.fromEntries(
  TOOLS.map(({ name, description }) => [
    name,
    createTool({ id: name, description, inputSchema: z.object({ task: z.string(), step: z.number().int() }) }),
  ]),
)
const clerk = new Agent({
  id: 'clerk',
  name: 'clerk',
  instructions: INSTRUCTIONS,
  model: { id: 'openai/gpt-sim', url: `${world}/v1`, apiKey: 'test' },
})

const call = z.object({ toolCallId: z.string(), toolName: z.string(), input: z.any() })
const turn = z.object({ messages: z.array(z.any()), calls: z.array(call), answer: z.string().nullable() })

const ask = createStep({
  id: 'ask',
  inputSchema: turn,
  outputSchema: turn,
  execute: async ({ inputData: { messages } }) => {
    const result = await clerk.generate(messages, { clientTools, maxSteps: 1 })
    const calls = result.toolCalls.map(({ payload: { toolCallId, toolName, args } }) => ({
      toolCallId,
      toolName,
      input: args,
    }))
    if (calls.length === 0) return { messages, calls, answer: result.text }
    const asked = { role: 'assistant', content: calls.map((each) => ({ type: 'tool-call', ...each })) }
    return { messages: [...messages, asked], calls, answer: null }
  },
})

const act = createStep({
  id: 'act',
  inputSchema: turn,
  outputSchema: turn,
  execute: async ({ inputData: { messages, calls, answer } }) => {
    const content = []
    for (const { toolCallId, toolName, input } of calls) {
      const value = await callTool(toolName, input, toolCallId)
      content.push({ type: 'tool-result', toolCallId, toolName, output: { type: 'text', value } })
    }
    return { messages: calls.length > 0 ? [...messages, { role: 'tool', content }] : messages, calls: [], answer }
  },
})

const turns = createWorkflow({ id: 'turn', inputSchema: turn, outputSchema: turn }).then(ask).then(act).commit()
const loop = createWorkflow({ id: 'loop', inputSchema: turn, outputSchema: turn })
  .dountil(turns, async ({ inputData: { answer } }) => answer !== null)
  .commit()

const mastra = new Mastra({
  agents: { clerk },
  workflows: { loop },
  storage: new LibSQLStore({ id: 'store', url: `file:${join(folder, 'mastra.db')}` }),
  logger: false,
})
await mastra.getStorage()?.init()

/** As the workflow guide says: a run that is found active is restarted from its last active step. */
async function run(task) {
  const workflow = mastra.getWorkflow('loop')
  const { runs } = await workflow.listActiveWorkflowRuns()
  const begun = runs.some(({ runId }) => runId === task)
  const done = begun ? undefined : await workflow.getWorkflowRunById(task)
  if (done?.status === 'success') return { how: 'finished', answer: done.result.answer }
  const one = await workflow.createRun({ runId: task })
  const inputData = { messages: [{ role: 'user', content: promptOf(task) }], calls: [], answer: null }
  const result = begun ? await one.restart() : await one.start({ inputData })
  if (result.status === 'success') return { how: 'finished', answer: result.result.answer }
  return { how: 'failed', error: `${result.status}: ${String(result.error?.message ?? result.error ?? '')}` }
}

serveTasks(run)
