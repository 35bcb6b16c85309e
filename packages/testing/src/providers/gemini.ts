import * as z from 'zod'
import { argumentsValue, pieces, type Script, type SimulatedAnswer, usageOf } from './script.ts'
import {
  type Dialect,
  Refused,
  type Simulator,
  type SimulatorOptions,
  type StreamEvent,
  startSimulator,
} from './simulator.ts'
import { firstMistake } from './strict.ts'

const NAME = /^[a-zA-Z_][a-zA-Z0-9_.-]{0,63}$/
const Blob = z.strictObject({ mimeType: z.string().regex(/^(image\/|text\/|application\/pdf$)/), data: z.base64() })
const Part = z
  .strictObject({
    text: z.string().min(1, 'must not be empty').optional(),
    thought: z.boolean().optional(),
    thoughtSignature: z.string().optional(),
    inlineData: Blob.optional(),
    fileData: z.strictObject({ mimeType: z.string(), fileUri: z.string() }).optional(),
    functionCall: z
      .strictObject({
        id: z.string().optional(),
        name: z.string().regex(NAME),
        args: z.record(z.string(), z.unknown()),
      })
      .optional(),
    functionResponse: z
      .strictObject({
        id: z.string().optional(),
        name: z.string().regex(NAME),
        response: z.record(z.string(), z.unknown()),
      })
      .optional(),
  })
  .refine(
    (part) => part.text !== undefined || part.inlineData || part.fileData || part.functionCall || part.functionResponse,
    {
      message: 'Unable to submit request because it must have a text parameter',
    },
  )
const Content = z.strictObject({ role: z.enum(['user', 'model']), parts: z.array(Part).min(1) })
const Body = z.strictObject({
  contents: z.array(Content).min(1, 'contents is not specified'),
  systemInstruction: z.strictObject({ role: z.string().optional(), parts: z.array(Part).min(1) }).optional(),
  tools: z
    .array(
      z.strictObject({
        functionDeclarations: z
          .array(
            z.strictObject({
              name: z.string().regex(NAME, 'Invalid function name. Must start with a letter or an underscore.'),
              description: z.string(),
              parametersJsonSchema: z.looseObject({}).optional(),
            }),
          )
          .min(1),
      }),
    )
    .optional(),
  toolConfig: z
    .strictObject({
      functionCallingConfig: z.strictObject({
        mode: z.enum(['AUTO', 'ANY', 'NONE', 'VALIDATED']),
        allowedFunctionNames: z.array(z.string()).optional(),
      }),
    })
    .optional(),
  generationConfig: z
    .strictObject({
      maxOutputTokens: z.number().int().positive().optional(),
      temperature: z.number().min(0).max(2).optional(),
      topP: z.number().min(0).max(1).optional(),
      stopSequences: z.array(z.string()).max(5).optional(),
      seed: z.number().int().optional(),
      frequencyPenalty: z.number().min(-2).max(2).optional(),
      presencePenalty: z.number().min(-2).max(2).optional(),
      mediaResolution: z.enum(['MEDIA_RESOLUTION_LOW', 'MEDIA_RESOLUTION_MEDIUM', 'MEDIA_RESOLUTION_HIGH']).optional(),
      responseMimeType: z.enum(['text/plain', 'application/json', 'text/x.enum']).optional(),
      responseJsonSchema: z.looseObject({}).optional(),
      thinkingConfig: z
        .strictObject({
          thinkingBudget: z.number().int().optional(),
          thinkingLevel: z.enum(['minimal', 'low', 'medium', 'high']).optional(),
          includeThoughts: z.boolean().optional(),
        })
        .optional(),
    })
    .optional(),
})

type GenerateBody = z.output<typeof Body>

const ROUTE = /^\/v1beta\/models\/([^:/]+):(generateContent|streamGenerateContent)(\?alt=sse)?$/

const dialect: Dialect = {
  basePath: '/v1beta',

  check(request, { key, keyless, models }) {
    const given = request.headers['x-goog-api-key']
    if (!keyless && given === undefined) {
      const message =
        "Method doesn't allow unregistered callers. Please use API Key or other form of API consumer identity."
      throw new Refused(403, error(403, message))
    }
    if (!keyless && given !== key) {
      const body = error(400, 'API key not valid. Please pass a valid API key.') as { error: object }
      const details = [{ '@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'API_KEY_INVALID' }]
      throw new Refused(400, { error: { ...body.error, details } })
    }
    if (request.method === 'GET' && request.path.split('?')[0] === '/v1beta/models') return { stream: false }
    const [, model, verb, sse] = ROUTE.exec(request.path) ?? []
    if (request.method !== 'POST' || model === undefined) throw new Refused(404, error(404, 'Not found'))
    if (models.length > 0 && !models.includes(decodeURIComponent(model))) {
      const message = `models/${model} is not found for API version v1beta, or is not supported for generateContent.`
      throw new Refused(404, error(404, message))
    }
    const mistake = firstMistake(Body, request.body)
    if (mistake) {
      const message = mistake.unknown
        ? `Invalid JSON payload received. Unknown name "${mistake.path.split('.').at(-1)}" at '${mistake.path}': Cannot find field.`
        : `* GenerateContentRequest.${mistake.path}: ${mistake.message}`
      throw new Refused(400, error(400, message))
    }
    const body = request.body as GenerateBody
    checkThinking(model, body)
    checkTools(body)
    checkOrder(body.contents, model)
    if (verb === 'streamGenerateContent' && sse === undefined) throw new Refused(400, error(400, 'alt=sse is expected'))
    return { stream: verb === 'streamGenerateContent' }
  },

  whole: (answer, request) => chunk(partsOf(answer), request.path, answer),

  events(answer, request) {
    const events: StreamEvent[] = []
    const add = (part: object) => events.push({ data: chunk([part], request.path) })
    for (const text of pieces(answer.reasoning)) add({ text, thought: true })
    for (const text of pieces(answer.text)) add({ text })
    for (const part of callParts(answer)) add(part)
    return [...events, { data: chunk([{ text: '' }], request.path, answer) }]
  },

  error,
  errorEvent: (message) => ({ data: error(503, message) }),
  models: (names) => ({ models: names.map((name) => ({ name: `models/${name}`, displayName: name })) }),
}

/** Google's generateContent. */
export function startGeminiSimulator(script: Script, options?: SimulatorOptions): Promise<Simulator> {
  return startSimulator(dialect, script, options)
}

function error(status: number, message: string, type?: string): unknown {
  const names: Record<number, string> = {
    400: 'INVALID_ARGUMENT',
    403: 'PERMISSION_DENIED',
    404: 'NOT_FOUND',
    429: 'RESOURCE_EXHAUSTED',
    500: 'INTERNAL',
    503: 'UNAVAILABLE',
    504: 'DEADLINE_EXCEEDED',
  }
  return { error: { code: status, message, status: type ?? names[status] ?? 'UNKNOWN' } }
}

function checkThinking(model: string, { generationConfig }: GenerateBody): void {
  const { thinkingConfig } = generationConfig ?? {}
  const generation = Number(/^gemini-(\d+)/.exec(model)?.[1] ?? 0)
  if (thinkingConfig?.thinkingLevel !== undefined && generation < 3) {
    throw new Refused(400, error(400, 'Thinking level is not supported for this model.'))
  }
}

function checkTools({ tools, toolConfig }: GenerateBody): void {
  const names = new Set(tools?.flatMap((tool) => tool.functionDeclarations.map(({ name }) => name)))
  if (toolConfig && names.size === 0)
    throw new Refused(400, error(400, 'Function calling config is set without function_declarations.'))
  const { mode, allowedFunctionNames } = toolConfig?.functionCallingConfig ?? {}
  if (allowedFunctionNames && mode !== 'ANY' && mode !== 'VALIDATED') {
    throw new Refused(400, error(400, 'allowed_function_names should only be set when mode is ANY or VALIDATED.'))
  }
  for (const name of allowedFunctionNames ?? []) {
    if (!names.has(name)) throw new Refused(400, error(400, `allowed_function_names: ${name} is not declared`))
  }
}

function checkOrder(contents: GenerateBody['contents'], model: string): void {
  const generation = Number(/^gemini-(\d+)/.exec(model)?.[1] ?? 0)
  if (contents[0]?.role !== 'user' || contents.at(-1)?.role !== 'user') {
    const message =
      'Please ensure that multiturn requests begin with a user turn and end with a user turn or a function response.'
    throw new Refused(400, error(400, message))
  }
  for (const [index, { role, parts }] of contents.entries()) {
    const calls = parts.flatMap((part) => (part.functionCall ? [part.functionCall.name] : []))
    if (calls.length > 0 && contents[index - 1]?.role !== 'user') {
      const message =
        'Please ensure that function call turn comes immediately after a user turn or after a function response turn.'
      throw new Refused(400, error(400, message))
    }
    const answered = contents[index + 1]?.parts.flatMap((part) =>
      part.functionResponse ? [part.functionResponse.name] : [],
    )
    if (calls.length > 0 && (role !== 'model' || calls.length !== answered?.length)) {
      const message =
        'Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.'
      throw new Refused(400, error(400, message))
    }
    const before =
      contents[index - 1]?.parts.flatMap((part) => (part.functionCall ? [part.functionCall.name] : [])) ?? []
    const responses = parts.flatMap((part) => (part.functionResponse ? [part.functionResponse.name] : []))
    if (responses.length > 0 && (role !== 'user' || responses.join() !== before.join())) {
      const message = 'Please ensure that function response turn comes immediately after a function call turn.'
      throw new Refused(400, error(400, message))
    }
    const firstCall = parts.find((part) => part.functionCall)
    if (firstCall && generation >= 3 && firstCall.thoughtSignature === undefined) {
      const name = firstCall.functionCall?.name
      throw new Refused(400, error(400, `Function call \`${name}\` is missing a \`thought_signature\`.`))
    }
  }
}

function partsOf(answer: SimulatedAnswer): object[] {
  return [
    ...(answer.reasoning === undefined ? [] : [{ text: answer.reasoning, thought: true }]),
    ...(answer.text === undefined ? [] : [{ text: answer.text }]),
    ...callParts(answer),
  ]
}

function callParts({ toolCalls = [], signature }: SimulatedAnswer): object[] {
  return toolCalls.map(({ name, arguments: args }, index) => ({
    functionCall: { name, args: argumentsValue(args) },
    ...(index === 0 && signature !== undefined ? { thoughtSignature: signature } : {}),
  }))
}

/** A streamed piece, or with `last` the end of an answer. */
function chunk(parts: object[], path: string, last?: SimulatedAnswer): unknown {
  const reasons = { stop: 'STOP', length: 'MAX_TOKENS', content_filter: 'SAFETY' }
  const { input, output, cached, reasoning } = usageOf(last ?? {})
  return {
    candidates: [
      {
        content: { parts, role: 'model' },
        index: 0,
        ...(last ? { finishReason: last.finish ?? reasons[last.stop ?? 'stop'] } : {}),
      },
    ],
    ...(last
      ? {
          usageMetadata:
            last.countedAs === undefined
              ? {
                  promptTokenCount: input,
                  candidatesTokenCount: output - reasoning,
                  totalTokenCount: input + output,
                  ...(cached > 0 ? { cachedContentTokenCount: cached } : {}),
                  ...(reasoning > 0 ? { thoughtsTokenCount: reasoning } : {}),
                }
              : last.countedAs,
        }
      : {}),
    modelVersion: ROUTE.exec(path)?.[1],
    responseId: 'simulated',
  }
}
