import { type Computed, compute, computeWithin } from '@agentos/arithmetic'
import type { CompletionInput, Tool } from '@agentos/contracts/llm-router'
import { parseExact } from '../exact-json.ts'
import { answerFromResults, type ToolOutcome } from './results.ts'

/** What stands at the end of every reply. */
export const SIGNATURE = 'demo/rules · no model connected'

const HOW_TO_CONNECT =
  'I follow a few fixed rules and cannot answer that: I can do arithmetic, remember things, find what I remembered, list and call functions. ' +
  'To talk to a language model, paste a key on the page (or set ANTHROPIC_API_KEY, OPENAI_API_KEY or GOOGLE_API_KEY in .env), or start Ollama, llama.cpp or vLLM on this machine; no restart is needed.'

const FUNCTION_ID = '[a-z0-9_-]+(?:::[a-z0-9_-]+)+'
const POLITE = '(?:please\\s+|can you\\s+|could you\\s+)?'

export interface Reply {
  text: string
  calls: { id: string; arguments: Record<string, unknown> }[]
}

type Rule = (text: string, tools: readonly Tool[]) => Reply | undefined

/** Tried in this order; the first that knows the message answers it. */
const RULES: readonly Rule[] = [
  arithmetic,
  remember,
  recollect,
  callFunction,
  describeFunction,
  listFunctions,
  sumsWithin,
]

/** The reply to a conversation. The same conversation always gets the same reply. */
export function replyByRules({ messages, tools = [] }: CompletionInput): Reply {
  const outcomes = lastOutcomes(messages)
  const reply = outcomes ? say(answerFromResults(outcomes)) : replyTo(lastUserText(messages), tools)
  // What only calls a function is no reply yet.
  return reply.calls.length > 0 ? reply : { ...reply, text: `${reply.text}\n\n${SIGNATURE}` }
}

function replyTo(text: string, tools: readonly Tool[]): Reply {
  for (const rule of RULES) {
    const reply = rule(text, tools)
    if (reply) return reply
  }
  return say(HOW_TO_CONNECT)
}

function arithmetic(text: string): Reply | undefined {
  const computed = compute(text)
  return computed && say(worked(computed))
}

/** Last, since a message that another rule knows may hold a sum that nobody asked for. */
function sumsWithin(text: string): Reply | undefined {
  const sums = computeWithin(text)
  return sums.length > 0 ? say(sums.map(worked).join('\n')) : undefined
}

function worked({ expression, value, problem }: Computed): string {
  if (value === undefined) return `${expression}: ${problem}`
  return `${expression} ${value.startsWith('≈') ? '' : '= '}${value}`
}

function remember(text: string, tools: readonly Tool[]): Reply | undefined {
  const [, content] = new RegExp(`^${POLITE}remember(?:\\s+that|:)?\\s+(.+)$`, 'is').exec(text) ?? []
  return content === undefined ? undefined : callOffered('memory::store', { content: content.trim() }, tools)
}

function recollect(text: string, tools: readonly Tool[]): Reply | undefined {
  const question = `^${POLITE}(?:tell me\\s+)?what\\s+do\\s+you\\s+(?:know|remember)\\s+(?:about|of)\\s+(.+)$`
  const [, query] = new RegExp(question, 'is').exec(text) ?? []
  if (query === undefined) return undefined
  const search = tools.some(({ id }) => id === 'memory::search') ? 'memory::search' : 'memory::recall'
  return callOffered(search, { query: withoutEnd(query) }, tools)
}

function callFunction(text: string): Reply | undefined {
  const command = new RegExp(`^${POLITE}(?:call|run|invoke)\\s+(${FUNCTION_ID})(?:\\s+with)?\\s*([[{"].*)?$`, 'is')
  const [, id, json = '{}'] = command.exec(text) ?? []
  if (id === undefined) return undefined
  const args = parseArguments(json)
  if (!args) return say(`What stands after ${id} is not a JSON object; write it as {"name": "value"}.`)
  return { text: '', calls: [{ id, arguments: args }] }
}

function describeFunction(text: string, tools: readonly Tool[]): Reply | undefined {
  const question = `^${POLITE}(?:describe|explain|what\\s+(?:does|is)|how\\s+do\\s+i\\s+(?:call|use))\\s+(?:the\\s+function\\s+)?(${FUNCTION_ID})`
  const [, id] = new RegExp(question, 'i').exec(text) ?? []
  if (id === undefined) return undefined
  const tool = tools.find((offered) => offered.id === id)
  if (tool) return say(description(tool))
  return findFunctions(id, tools) ?? say(`${id} is not among the functions that I was offered.`)
}

function listFunctions(text: string, tools: readonly Tool[]): Reply | undefined {
  const named = /\b(?:functions?|tools)\b/i.exec(text)
  if (!named || !/^(?:please\s+)?(?:list|show|find|which|what|search)\b/i.test(text)) return undefined
  const topic = topicOf(text, named.index + named[0].length)
  const found = topic === undefined ? undefined : findFunctions(topic, tools)
  if (found) return found
  if (tools.length === 0) return say('I was offered no functions in this conversation.')
  const lines = tools.map(({ id, description: summary }) => `- ${id}${summary === '' ? '' : `: ${summary}`}`)
  return say(`I can call these functions:\n${lines.join('\n')}`)
}

/** What a question is about: all that follows the first preposition behind `from`. */
function topicOf(text: string, from: number): string | undefined {
  const preposition = /\b(?:for|about|to|that|with)\s+/gi
  preposition.lastIndex = from
  return preposition.test(text) ? withoutEnd(text.slice(preposition.lastIndex)) : undefined
}

/** Without the blanks and marks that a question ends with; its first character stays. */
function withoutEnd(text: string): string {
  let end = text.length
  while (end > 1 && /[\s?.!]/.test(text[end - 1]!)) end -= 1
  return text.slice(0, end).trim()
}

function findFunctions(query: string, tools: readonly Tool[]): Reply | undefined {
  if (!tools.some(({ id }) => id === 'agent::find_functions')) return undefined
  return { text: '', calls: [{ id: 'agent::find_functions', arguments: { query: query.slice(0, 500) } }] }
}

function callOffered(id: string, args: Record<string, unknown>, tools: readonly Tool[]): Reply {
  if (tools.some((tool) => tool.id === id)) return { text: '', calls: [{ id, arguments: args }] }
  return say(`I would need the function ${id} for that, and it is not offered to me here.`)
}

function description({ id, description: summary, inputSchema }: Tool): string {
  const properties = Object.entries(
    (inputSchema.properties ?? {}) as Record<string, { description?: string; type?: unknown }>,
  )
  const required = new Set(Array.isArray(inputSchema.required) ? inputSchema.required : [])
  const lines = properties.map(([name, { description: about, type }]) => {
    const kind = [typeof type === 'string' ? type : '', required.has(name) ? 'required' : 'optional'].filter(
      (word) => word !== '',
    )
    return `- ${name} (${kind.join(', ')})${about ? `: ${about}` : ''}`
  })
  const fields = lines.length === 0 ? 'It takes no fields.' : `Its fields:\n${lines.join('\n')}`
  return `${id}${summary === '' ? '' : `: ${summary}`}\n${fields}\nCall it with: call ${id} {"field": "value"}`
}

/** Numbers stay as they were written: what no double holds is refused where it is called, and no `null` before. */
function parseArguments(json: string): Record<string, unknown> | undefined {
  try {
    const value = parseExact(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined
  } catch {
    return undefined
  }
}

function say(text: string): Reply {
  return { text, calls: [] }
}

function lastUserText(messages: CompletionInput['messages']): string {
  const message = messages.findLast(({ role }) => role === 'user')
  if (!message) return ''
  if (typeof message.content === 'string') return message.content.trim()
  return message.content
    .map((part) => (part.type === 'text' ? part.text : ''))
    .join('\n')
    .trim()
}

/** What the functions answered that the last assistant turn called; undefined where the user spoke last. */
function lastOutcomes(messages: CompletionInput['messages']): ToolOutcome[] | undefined {
  const last = messages.at(-1)
  if (last?.role !== 'tool' || typeof last.content === 'string') return undefined
  const calls = new Map<string, ToolOutcome>()
  for (const { content } of messages) {
    if (typeof content === 'string') continue
    for (const part of content) {
      if (part.type === 'toolCall')
        calls.set(part.callId, { id: part.id, arguments: part.arguments, text: '', failed: false })
    }
  }
  return last.content.flatMap((part) => {
    const call = part.type === 'toolResult' ? calls.get(part.callId) : undefined
    if (!call || part.type !== 'toolResult') return []
    const text =
      typeof part.content === 'string'
        ? part.content
        : part.content.map((item) => (item.type === 'text' ? item.text : '')).join('\n')
    return [{ ...call, text, failed: part.isError === true }]
  })
}
