import { DBOS } from '@dbos-inc/dbos-sdk'
import OpenAI from 'openai'
import { ARGUMENTS_SCHEMA, INSTRUCTIONS, promptOf, TOOLS } from '../../unplug/src/task.ts'
import { callTool, serveTasks, world } from './serve-tasks.mjs'

const systemDatabaseUrl = process.argv[4]

const openai = new OpenAI({ apiKey: 'test', baseURL: `${world}/v1` })
const tools = TOOLS.map(({ name, description }) => ({
  type: 'function',
  function: { name, description, parameters: ARGUMENTS_SCHEMA },
}))

const agent = DBOS.registerWorkflow(
  async (task) => {
    const messages = [
      { role: 'system', content: INSTRUCTIONS },
      { role: 'user', content: promptOf(task) },
    ]
    for (;;) {
      const message = await DBOS.runStep(
        async () => (await openai.chat.completions.create({ model: 'gpt-sim', messages, tools })).choices[0].message,
        { name: 'model' },
      )
      messages.push({ role: 'assistant', content: message.content, tool_calls: message.tool_calls })
      if (!message.tool_calls?.length) return message.content
      for (const { id, function: called } of message.tool_calls) {
        // The call was recorded with the model's answer, so its id is the same when the step runs again.
        const content = await DBOS.runStep(() => callTool(called.name, JSON.parse(called.arguments), id), {
          name: called.name,
        })
        messages.push({ role: 'tool', tool_call_id: id, content })
      }
    }
  },
  { name: 'agent' },
)

DBOS.setConfig({ name: 'bench', systemDatabaseUrl, logLevel: 'error' })
// Recovers what was running when the last process of this executor ended.
await DBOS.launch()

/** Starting a workflow under the id of one that is there attaches to it. */
async function run(task) {
  const handle = await DBOS.startWorkflow(agent, { workflowID: task })(task)
  return { how: 'finished', answer: await handle.getResult() }
}

serveTasks(run)
