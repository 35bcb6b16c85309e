import type * as z from 'zod'
import { AgentError } from './errors.ts'

/**
 * What config.yaml says for a worker under `config:`, as its definition's `settings` read it, with defaults. Whatever is
 * not there, or means nothing there, ends the start: a limit that was meant would be missing. Throws `not_configured`.
 */
export function readSettings(
  worker: string,
  settings: z.ZodObject | undefined,
  config: unknown,
): Record<string, unknown> {
  const given = config ?? {}
  if (settings === undefined) {
    const unread = typeof given === 'object' ? Object.keys(given) : [JSON.stringify(given)]
    if (unread.length === 0) return {}
    throw refused(worker, [`this worker reads no settings, so ${unread.join(', ')} means nothing`])
  }
  const strangers = strangersIn(settings, given, [])
  const read = settings.safeParse(given)
  if (read.success && strangers.length === 0) return read.data
  const issues = (read.error?.issues ?? []).filter(({ code }) => code !== 'unrecognized_keys' || strangers.length === 0)
  throw refused(worker, [
    ...strangers,
    ...issues.map(({ path, message }) => `${path.map(String).join('.') || 'config'}: ${message}`),
  ])
}

function refused(worker: string, problems: string[]): AgentError {
  const what = `config.yaml, config: of ${worker}: ${problems.join('; ')}`
  return new AgentError('not_configured', `${what}. Correct it, then: npm run agentos -- restart engine`)
}

/** Keys for which there is no setting, at any depth and whether or not the schema there is strict, with what there is. */
function strangersIn(schema: z.core.$ZodType, value: unknown, path: readonly string[]): string[] {
  const { innerType, element, valueType, shape, catchall } = schema._zod.def as {
    innerType?: z.core.$ZodType
    element?: z.core.$ZodType
    valueType?: z.core.$ZodType
    shape?: Record<string, z.core.$ZodType>
    catchall?: z.core.$ZodType
  }
  if (innerType) return strangersIn(innerType, value, path)
  if (typeof value !== 'object' || value === null) return []
  const others = shape ? (catchall?._zod.def.type === 'never' ? undefined : catchall) : (valueType ?? element)
  return Object.entries(value).flatMap(([key, item]) => {
    const place = [...path, key]
    const below = shape && Object.hasOwn(shape, key) ? shape[key] : others
    if (below) return strangersIn(below, item, place)
    return shape ? [`${place.join('.')} is no setting; there is ${Object.keys(shape).join(', ')}`] : []
  })
}
