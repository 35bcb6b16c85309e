import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Agent, OpenAIProvider, Runner, RunState, tool } from '@openai/agents'
import * as z from 'zod'
import { INSTRUCTIONS, promptOf, TOOLS } from '../../unplug/src/task.ts'
import { callTool, folder, serveTasks, world } from './serve-tasks.mjs'

const agent = new Agent({
  name: 'clerk',
  instructions: INSTRUCTIONS,
  model: 'gpt-sim',
  tools: TOOLS.map(({ name, description }) =>
    tool({
      name,
      description,
      parameters: z.object({ task: z.string(), step: z.number().int() }),
      execute: (args, _context, details) => callTool(name, args, details?.toolCall?.callId),
    }),
  ),
})
const runner = new Runner({
  modelProvider: new OpenAIProvider({ apiKey: 'test', baseURL: `${world}/v1`, useResponses: false }),
  tracingDisabled: true,
})

const fileOf = (task, kind) => join(folder, `${task}.${kind}.json`)

function save(path, text) {
  writeFileSync(`${path}.new`, text, { flush: true })
  renameSync(`${path}.new`, path)
}

/** Storage of one's own behind the documented interface: the conversation in a file. */
class FileSession {
  constructor(task) {
    this.task = task
  }
  async getSessionId() {
    return this.task
  }
  async getItems(limit) {
    const path = fileOf(this.task, 'session')
    const items = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : []
    return limit === undefined ? items : items.slice(-limit)
  }
  async addItems(items) {
    save(fileOf(this.task, 'session'), JSON.stringify([...(await this.getItems()), ...items]))
  }
  async popItem() {
    const items = await this.getItems()
    const last = items.pop()
    save(fileOf(this.task, 'session'), JSON.stringify(items))
    return last
  }
  async clearSession() {
    save(fileOf(this.task, 'session'), '[]')
  }
}

/**
 * The run's state is saved after each item that the stream reports, and a run that was lost is resumed from the last of
 * them, with the same session.
 */
async function run(task) {
  const path = fileOf(task, 'state')
  const saved = existsSync(path) ? await RunState.fromString(agent, readFileSync(path, 'utf8')) : undefined
  const result = await runner.run(agent, saved ?? promptOf(task), {
    session: new FileSession(task),
    stream: true,
    maxTurns: 50,
  })
  for await (const event of result) {
    if (event.type === 'run_item_stream_event') save(path, result.state.toString())
  }
  await result.completed
  return { how: 'finished', answer: String(result.finalOutput) }
}

serveTasks(run)
