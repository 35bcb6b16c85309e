export type Schema = Record<string, unknown>

/** A schema that says something; `true`, `false` and what is no schema are nothing. */
export function schemaObject(value: unknown): Schema | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Schema) : undefined
}

/** Follows `$ref`s within the same document, a few steps deep. */
export function resolveRef(schema: Schema, root: unknown): Schema | undefined {
  let current: Schema | undefined = schema
  for (let step = 0; current && typeof current.$ref === 'string'; step += 1) {
    if (step > 8) return undefined
    current = pointer(root, current.$ref)
  }
  return current
}

function pointer(root: unknown, ref: string): Schema | undefined {
  if (ref === '#') return schemaObject(root)
  if (!ref.startsWith('#/')) return undefined
  let value: unknown = root
  for (const part of ref.slice(2).split('/')) {
    const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
    const object = schemaObject(value)
    if (!object || !Object.hasOwn(object, key)) return undefined
    value = object[key]
  }
  return schemaObject(value)
}
