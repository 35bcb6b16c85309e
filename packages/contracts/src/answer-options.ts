import * as z from 'zod'
import { JsonObject } from './json-object.ts'

export const ResponseFormat = () =>
  z.strictObject({
    type: z.enum(['text', 'json']),
    /** JSON Schema that the answer has to follow, with `type: json`. */
    schema: JsonObject().optional(),
    name: z.string().optional(),
    description: z.string().optional(),
    /** Whether the provider makes sure of the schema where it leaves the choice. @default true */
    strict: z.boolean().optional(),
  })

/** How much a reasoning model thinks; not every model knows every level. */
export const Reasoning = () => z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'])

/** How a model should write its answer; a chat with an agent hands it on to each of its model calls. */
export const answerOptions = () => ({
  temperature: z.number().min(0).max(2).nullish(),
  topP: z.number().gt(0).max(1).nullish(),
  stop: z.array(z.string().min(1)).max(4).nullish(),
  responseFormat: ResponseFormat().nullish(),
  /** How much a reasoning model may think; left to the provider where absent. */
  reasoning: Reasoning().nullish(),
})

export type ResponseFormat = z.output<ReturnType<typeof ResponseFormat>>
export type Reasoning = z.output<ReturnType<typeof Reasoning>>
