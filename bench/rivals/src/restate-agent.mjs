import * as restate from '@restatedev/restate-sdk'
import OpenAI from 'openai'
import { ARGUMENTS_SCHEMA, INSTRUCTIONS, promptOf, TOOLS } from '../../unplug/src/task.ts'

/** The agent of Restate's template for TypeScript, with this task's tools: `restate-agent.mjs <port> <address of the world>`. */
const [, , port, world] = process.argv

const openai = new OpenAI({ apiKey: 'test', baseURL: `${world}/v1` })
const tools = TOOLS.map(({ name, description }) => ({
  type: 'function',
  function: { name, description, parameters: ARGUMENTS_SCHEMA },
}))

const agent = restate.service({
  name: 'agent',
  handlers: {
    run: async (ctx, task) => {
      const messages = [
        { role: 'system', content: INSTRUCTIONS },
        { role: 'user', content: promptOf(task) },
      ]
      for (;;) {
        const message = await ctx.run(
          'LLM call',
          async () => (await openai.chat.completions.create({ model: 'gpt-sim', messages, tools })).choices[0].message,
          { maxRetryAttempts: 3 },
        )
        messages.push({ role: 'assistant', content: message.content, tool_calls: message.tool_calls })
        if (!message.tool_calls?.length) return message.content
        for (const call of message.tool_calls) {
          // Stable over retries, as the guide on idempotency advises.
          const key = ctx.rand.uuidv4()
          const content = await ctx.run(call.function.name, () => callTool(call.function, key))
          messages.push({ role: 'tool', tool_call_id: call.id, content })
        }
      }
    },
  },
})

async function callTool({ name, arguments: body }, key) {
  const headers = { 'content-type': 'application/json', 'idempotency-key': key }
  const response = await fetch(`${world}/tools/${name}`, { method: 'POST', headers, body })
  if (!response.ok) throw new Error(`${name} answered ${response.status}`)
  return response.text()
}

process.on('disconnect', () => process.exit(0))
await restate.serve({ services: [agent], port: Number(port) })
process.send?.('ready')
