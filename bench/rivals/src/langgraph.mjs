import { join } from 'node:path'
import { tool } from '@langchain/core/tools'
import { MessagesAnnotation, START, StateGraph } from '@langchain/langgraph'
import { ToolNode, toolsCondition } from '@langchain/langgraph/prebuilt'
import { SqliteSaver } from '@langchain/langgraph-checkpoint-sqlite'
import { ChatOpenAI } from '@langchain/openai'
import * as z from 'zod'
import { INSTRUCTIONS, promptOf, TOOLS } from '../../unplug/src/task.ts'
import { callTool, folder, serveTasks, world } from './serve-tasks.mjs'

const schema = z.object({ task: z.string(), step: z.number().int() })
const tools = TOOLS.map(({ name, description }) =>
  tool((args, config) => callTool(name, args, config.toolCall?.id), { name, description, schema }),
)
const model = new ChatOpenAI({ model: 'gpt-sim', apiKey: 'test', configuration: { baseURL: `${world}/v1` } }).bindTools(
  tools,
)

const graph = new StateGraph(MessagesAnnotation)
  .addNode('model', async ({ messages }) => ({
    messages: [await model.invoke([{ role: 'system', content: INSTRUCTIONS }, ...messages])],
  }))
  .addNode('tools', new ToolNode(tools))
  .addEdge(START, 'model')
  .addConditionalEdges('model', toolsCondition)
  .addEdge('tools', 'model')
  .compile({ checkpointer: SqliteSaver.fromConnString(join(folder, 'checkpoints.sqlite')) })

/**
 * As the durable execution guide says: the same thread, and `null` as input where it was begun. Whether there is something
 * left to do is for `invoke` to find out: between two checkpoints `next` is empty although the run is not over.
 */
async function run(task) {
  const config = { configurable: { thread_id: task }, durability: 'sync', recursionLimit: 100 }
  const { next, values } = await graph.getState(config)
  const begun = next.length > 0 || (values.messages?.length ?? 0) > 0
  const input = begun ? null : { messages: [{ role: 'user', content: promptOf(task) }] }
  const state = await graph.invoke(input, config)
  return { how: 'finished', answer: String(state.messages.at(-1).content) }
}

serveTasks(run)
