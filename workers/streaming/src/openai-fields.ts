import { CompletionRequest } from '@agentos/contracts/streaming'
import * as z from 'zod'
import { callNames } from './openai-request.ts'
import { unsupported } from './unsupported.ts'

/** Fields of the API that have no part in the answer: they are taken, and nothing is lost by it. */
const NO_PART_IN_THE_ANSWER = new Set([
  'user',
  'safety_identifier',
  'prompt_cache_key',
  'prompt_cache_retention',
  'prompt_cache_options',
])

/** Fields of the API that nothing here can give, why, and the values that ask for nothing. */
const NOT_GIVEN: Record<string, { reason: string; asksNothing?: readonly unknown[] }> = {
  audio: { reason: 'answers are text here' },
  modalities: { reason: 'answers are text here; send ["text"]', asksNothing: ['text'] },
  prediction: { reason: 'a predicted answer is not used here' },
  functions: { reason: 'this is the older form; send tools' },
  function_call: { reason: 'this is the older form; send tool_choice' },
  logprobs: { reason: 'the probabilities of tokens are not given here', asksNothing: [false] },
  top_logprobs: { reason: 'the probabilities of tokens are not given here', asksNothing: [0] },
  logit_bias: { reason: 'the probabilities of tokens cannot be changed here' },
  n: { reason: 'one answer is given to a request; ask as often as you want', asksNothing: [1] },
  store: { reason: 'answers are not stored for later reading; read the traces instead', asksNothing: [false] },
  service_tier: { reason: 'there is one tier here', asksNothing: ['auto', 'default'] },
  web_search_options: { reason: 'models do not search by themselves here; give them a tool that does' },
  moderation: { reason: 'answers are not moderated here; ask a model for that' },
}

/** Fields that a model takes and an agent does not, and why; again with the values that ask for nothing. */
const NOT_FOR_AGENTS: Record<string, { reason: string; asksNothing?: readonly unknown[] }> = {
  tools: { reason: 'an agent uses its own functions; send tools with a plain model only' },
  tool_choice: { reason: 'an agent chooses among its own functions itself', asksNothing: ['auto'] },
  parallel_tool_calls: { reason: 'an agent decides what runs side by side', asksNothing: [true] },
  seed: { reason: 'an agent asks its model several times, with what it found in between' },
  frequency_penalty: { reason: 'an agent does not hand it on to its model', asksNothing: [0] },
  presence_penalty: { reason: 'an agent does not hand it on to its model', asksNothing: [0] },
  metadata: { reason: 'an agent does not hand it on to the calls of its model' },
  verbosity: {
    reason: 'an agent does not hand it on to its model; say it in a system message',
    asksNothing: ['medium'],
  },
}

/** What an answer has beside its content: clients bring it back, and no model is told of it. */
const COMES_BACK = new Set([
  'messages.annotations',
  'messages.parsed',
  'messages.tool_calls.index',
  'messages.tool_calls.function.parsed_arguments',
])

/** Fields one level down and more, without the numbers of their paths, and why they are not carried. */
const NOT_CARRIED: Record<string, string> = {
  'messages.audio': 'it cannot be carried on here; leave it out',
  'messages.function_call': 'this is the older form; send tool_calls',
  'messages.content.file.file_id': 'files cannot be uploaded here; send the content as file_data',
  'messages.content.cache_control': 'what is kept in a provider’s cache cannot be marked here; leave it out',
}

const schema = CompletionRequest()
const KNOWN = new Set(Object.keys(schema.shape))

/** Refuses what would silently be left out. */
export function assertSupported(request: CompletionRequest, runs: 'agent' | 'model'): void {
  for (const [name, value] of Object.entries(request)) {
    if (asksNothing(value)) continue
    const notGiven = NOT_GIVEN[name] ?? (runs === 'agent' ? NOT_FOR_AGENTS[name] : undefined)
    if (notGiven) {
      const free = notGiven.asksNothing ?? []
      if (!free.includes(Array.isArray(value) && value.length === 1 ? value[0] : value)) {
        throw unsupported(name, notGiven.reason)
      }
    } else if (!KNOWN.has(name) && !NO_PART_IN_THE_ANSWER.has(name)) {
      throw unsupported(name, 'this field is not known here; leave it out')
    }
  }
  for (const [path, value] of strangers(schema, request)) {
    const kind = path.replaceAll(/\.\d+(?=\.)/g, '')
    if (!path.includes('.') || asksNothing(value) || COMES_BACK.has(kind)) continue
    throw unsupported(path, NOT_CARRIED[kind] ?? 'this field is not known here; leave it out')
  }
  assertNames(request.messages, runs)
}

/** Who speaks is told to a model, of users and assistants. The name in a tool's message is that of its function. */
function assertNames(messages: CompletionRequest['messages'], runs: 'agent' | 'model'): void {
  const called = callNames(messages)
  for (const [index, message] of messages.entries()) {
    const { role, name } = message
    if (!name || (role === 'tool' && name === called.get(message.tool_call_id))) continue
    const refuse = (reason: string) => unsupported(`messages.${index}.name`, `${reason}; leave it out`)
    if (role === 'tool') throw refuse('the call that this answers is of another function')
    if (runs === 'agent') throw refuse('an agent hears one user, and does not hand it on to its model')
    if (role !== 'user' && role !== 'assistant') throw refuse('what the system says is one text, without speakers')
  }
}

/** What `value` has and `schema` does not describe, at any depth: its path and what stands there. */
function* strangers(schema: z.core.$ZodType, value: unknown, path = ''): Generator<[path: string, value: unknown]> {
  if (value === undefined || value === null) return
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault) {
    yield* strangers(schema.unwrap(), value, path)
  } else if (schema instanceof z.ZodUnion) {
    const fitting = schema.options.find((option) => z.safeParse(option, value).success)
    if (fitting) yield* strangers(fitting, value, path)
  } else if (schema instanceof z.ZodArray && Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* strangers(schema.element, item, `${path}${index}.`)
  } else if (schema instanceof z.ZodObject) {
    for (const [name, field] of Object.entries(value)) {
      const known: z.core.$ZodType | undefined = Object.hasOwn(schema.shape, name) ? schema.shape[name] : undefined
      if (known) yield* strangers(known, field, `${path}${name}.`)
      else yield [`${path}${name}`, field]
    }
  }
}

function asksNothing(value: unknown): boolean {
  if (value === undefined || value === null) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}
