/** The few words of JSON Schema that the functions of the engine need to describe themselves. */
export const ANY = {}
export const STRING = { type: 'string' }
export const BOOLEAN = { type: 'boolean' }
export const NUMBER = { type: 'number' }

export function integer(minimum: number, maximum?: number): object {
  return { type: 'integer', minimum, ...(maximum === undefined ? {} : { maximum }) }
}

export function oneOf(...values: string[]): object {
  return { type: 'string', enum: values }
}

export function arrayOf(items: object): object {
  return { type: 'array', items }
}

/** An object; names that end in `?` are optional. */
export function object(properties: Record<string, object>): object {
  const names = Object.keys(properties)
  return {
    type: 'object',
    properties: Object.fromEntries(names.map((name) => [name.replace(/\?$/, ''), properties[name]])),
    required: names.filter((name) => !name.endsWith('?')),
  }
}
