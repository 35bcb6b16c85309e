import * as z from 'zod'

/**
 * An object of any JSON, handed on as it is: `z.record` drops a key `__proto__`, at which a schema of somebody else's would
 * arrive as another one.
 */
export const JsonObject = () =>
  z
    .custom<Record<string, unknown>>(
      (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
      'expected an object',
    )
    .meta({ type: 'object', additionalProperties: {} })
