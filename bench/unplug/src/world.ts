import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { answerOf, receiptOf, STEPS, type ToolArguments, taskOf, toolOf } from './task.ts'

/** How long a model and a tool take to answer; a tool's effect takes place at once, so it can be lost sight of. */
const MODEL_MS = 30
const TOOL_MS = 20

export interface Effect {
  tool: string
  step: number
  key: string | undefined
}

/** What the world outside has seen of one task. */
export interface Seen {
  modelRequests: number
  /** Requests to tools, those that had no effect included. */
  toolRequests: number
  effects: Effect[]
  /** In order, for reading a run by hand. */
  log: string[]
}

interface ChatMessage {
  role: string
  content?: string | { text?: string }[] | null
  tool_calls?: { id: string }[]
  tool_call_id?: string
}

/**
 * The world outside the systems that are compared, which stays up: a model provider that speaks OpenAI's chat
 * completions and counts, and the services behind the tools, which count what took place.
 */
export class World {
  readonly url: string
  private readonly server: Server
  private readonly tasks = new Map<string, Seen>()
  private readonly begin = performance.now()
  /** Called at each request of a task, with how many it has made. */
  onRequest: (task: string, count: number) => void = () => {}

  static async open(): Promise<World> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new World(server)
  }

  private constructor(server: Server) {
    this.server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      this.handle(request, response).catch((error: unknown) => {
        reply(response, 400, { error: { message: String(error), type: 'invalid_request_error' } })
      })
    })
  }

  seen(task: string): Seen {
    let seen = this.tasks.get(task)
    if (!seen) {
      seen = { modelRequests: 0, toolRequests: 0, effects: [], log: [] }
      this.tasks.set(task, seen)
    }
    return seen
  }

  note(task: string, text: string): void {
    this.seen(task).log.push(`${(performance.now() - this.begin).toFixed(0).padStart(8)} ms  ${text}`)
  }

  close(): void {
    this.server.closeAllConnections()
    this.server.close()
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    const path = request.url ?? ''
    if (path === '/v1/models')
      return reply(response, 200, { object: 'list', data: [{ id: 'gpt-sim', object: 'model' }] })
    const body = JSON.parse(text) as Record<string, unknown>
    if (path === '/v1/chat/completions') return this.complete(body, response)
    const tool = /^\/tools\/(\w+)$/.exec(path)?.[1]
    if (tool === undefined) throw new Error(`there is nothing at ${path}`)
    const key = request.headers['idempotency-key']
    await this.serveTool(tool, body as unknown as ToolArguments, typeof key === 'string' ? key : undefined, response)
  }

  private async complete(body: Record<string, unknown>, response: ServerResponse): Promise<void> {
    const messages = body.messages as ChatMessage[]
    const task = taskOf(
      messages
        .filter(({ role }) => role === 'user')
        .map(textOf)
        .join('\n'),
    )
    if (task === undefined) throw new Error('the conversation does not say which task it is about')
    const results = resultsIn(messages)
    const seen = this.seen(task)
    seen.modelRequests += 1
    this.arrived(task, `model: asked for step ${results.length + 1}`)
    await delay(MODEL_MS)
    const strange = results.findIndex((result, index) => !result.includes(receiptOf(toolOf(index + 1), index + 1)))
    const step = results.length + 1
    if (strange >= 0) return answer(response, body, { text: `Step ${strange + 1} has no receipt: ${results[strange]}` })
    if (step >= STEPS) return answer(response, body, { text: answerOf(task) })
    answer(response, body, { tool: offeredName(body, toolOf(step)), arguments: JSON.stringify({ task, step }) })
  }

  private async serveTool(
    tool: string,
    { task, step }: ToolArguments,
    key: string | undefined,
    response: ServerResponse,
  ): Promise<void> {
    const seen = this.seen(task)
    seen.toolRequests += 1
    const known = tool === 'charge' && key !== undefined && seen.effects.some((effect) => effect.key === key)
    if (tool !== 'look_up' && !known) seen.effects.push({ tool, step, key })
    this.arrived(task, `${tool} of step ${step}${known ? ' (key known, no effect)' : ''}, key ${key ?? 'none'}`)
    await delay(TOOL_MS)
    reply(response, 200, { receipt: receiptOf(tool, step) })
  }

  private arrived(task: string, text: string): void {
    const seen = this.seen(task)
    this.note(task, text)
    this.onRequest(task, seen.modelRequests + seen.toolRequests)
  }
}

/** The tools' results so far. Refuses, as the real service does, a conversation with a call that nothing answers. */
function resultsIn(messages: readonly ChatMessage[]): string[] {
  const results: string[] = []
  let open = new Set<string>()
  for (const message of messages) {
    if (message.role === 'tool') {
      if (!open.delete(message.tool_call_id ?? '')) {
        throw new Error("messages with role 'tool' must be a response to a preceding message with 'tool_calls'")
      }
      results.push(textOf(message))
      continue
    }
    if (open.size > 0) throw new Error("an assistant message with 'tool_calls' must be followed by tool messages")
    open = new Set((message.tool_calls ?? []).map(({ id }) => id))
  }
  if (open.size > 0) throw new Error("an assistant message with 'tool_calls' must be followed by tool messages")
  return results
}

/** Under the name by which the tool was offered, which may have a prefix. */
function offeredName({ tools }: Record<string, unknown>, tool: string): string {
  const names = (tools as { function: { name: string } }[]).map(({ function: { name } }) => name)
  const name = names.find((each) => each.endsWith(tool))
  if (name === undefined) throw new Error(`the tool ${tool} was not offered`)
  return name
}

function textOf({ content }: ChatMessage): string {
  if (typeof content === 'string') return content
  return (content ?? []).map(({ text }) => text ?? '').join('')
}

type Answer = { text: string } | { tool: string; arguments: string }

/** Ids are new in each answer, as the real service's are: asking again gives another call, not the same. */
function answer(response: ServerResponse, body: Record<string, unknown>, given: Answer): void {
  const head = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1_000), model: body.model }
  const usage = { prompt_tokens: 17, completion_tokens: 5, total_tokens: 22 }
  const called = 'tool' in given && {
    id: `call_${randomUUID().replaceAll('-', '').slice(0, 24)}`,
    type: 'function',
    function: { name: given.tool, arguments: given.arguments },
  }
  const finish_reason = called ? 'tool_calls' : 'stop'
  const content = 'text' in given ? given.text : null
  if (body.stream !== true) {
    const message = { role: 'assistant', content, refusal: null, ...(called ? { tool_calls: [called] } : {}) }
    const choices = [{ index: 0, message, logprobs: null, finish_reason }]
    return reply(response, 200, { ...head, object: 'chat.completion', choices, usage })
  }
  const chunk = (delta: object, reason: string | null = null) => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, logprobs: null, finish_reason: reason }],
  })
  const delta = { role: 'assistant', content, ...(called ? { tool_calls: [{ index: 0, ...called }] } : {}) }
  const events = [chunk(delta), chunk({}, finish_reason), { ...chunk({}), choices: [], usage }]
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const event of events) response.write(`data: ${JSON.stringify(event)}\n\n`)
  response.end('data: [DONE]\n\n')
}

function reply(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) return void response.destroy()
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
