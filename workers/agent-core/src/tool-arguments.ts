import { AgentError } from '@agentos/sdk'
import type * as z from 'zod'
import type { OfferedTool } from './preparation.ts'

type JsonSchema = Parameters<typeof z.fromJSONSchema>[0]

/** Checkers of schemas that were seen; null where zod cannot read the schema. */
const built = new WeakMap<object, z.ZodType | null>()

/**
 * Checks a model's arguments against the function's schema before the call; what cannot be read as a schema passes,
 * since the function checks its own input anyway. So does all that is meant for a function that nobody installed: what
 * its worker sent as a schema would run in this process, and a pattern in it may never come to its end.
 */
export async function validateArguments(
  { installed, inputSchema }: Pick<OfferedTool, 'installed' | 'inputSchema'>,
  given: Record<string, unknown>,
): Promise<void> {
  if (!installed) return
  const checker = await checkerOf(inputSchema)
  const result = checker?.safeParse(given)
  if (!result || result.success) return
  const issues = result.error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.join('.') || 'arguments'}: ${issue.message}`)
  throw new AgentError('invalid_input', `The arguments do not fit: ${issues.join('; ')}`)
}

/** What a model wrote has to reach the function as it was meant: a number that would be another one there is refused. */
export function assertExact(argumentsText: string | undefined): void {
  if (argumentsText === undefined) return
  JSON.parse(argumentsText, (_key: string, value: unknown, context?: { source?: string }) => {
    if (typeof value !== 'number') return value
    const isWhole = /^-?\d+$/.test(context?.source ?? '')
    if (Number.isFinite(value) && (!isWhole || Number.isSafeInteger(value))) return value
    const message = `The number ${context?.source ?? value} has more digits than can be kept; write it as text, if the function takes that`
    throw new AgentError('invalid_input', message)
  })
}

async function checkerOf(schema: Record<string, unknown>): Promise<z.ZodType | null> {
  const known = built.get(schema)
  if (known !== undefined) return known
  const { fromJSONSchema } = await import('./json-schema.ts')
  let checker: z.ZodType | null = null
  try {
    checker = fromJSONSchema(schema as JsonSchema)
  } catch {
    // A schema with parts that zod does not know.
  }
  built.set(schema, checker)
  return checker
}
