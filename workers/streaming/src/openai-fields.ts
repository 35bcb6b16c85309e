import { CompletionRequest } from '@agentos/contracts/streaming'
import { AgentError } from '@agentos/sdk'

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
  verbosity: {
    reason: 'an agent does not hand it on to its model; say it in a system message',
    asksNothing: ['medium'],
  },
}

const KNOWN = new Set(Object.keys(CompletionRequest().shape))

/** A field that is not served, by its name and with the reason. */
export function unsupported(field: string, reason: string): AgentError {
  return new AgentError('unsupported_feature', `${field}: ${reason}`, { details: { param: field } })
}

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
  for (const message of request.messages) {
    for (const name of ['audio', 'function_call']) {
      if (!asksNothing(message[name]))
        throw unsupported(`messages.${name}`, 'it cannot be carried on here; leave it out')
    }
  }
}

function asksNothing(value: unknown): boolean {
  if (value === undefined || value === null) return true
  return typeof value === 'object' && Object.keys(value).length === 0
}
