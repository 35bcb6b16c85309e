/** JSON Schema, as far as a form can ask for it. */
export type Schema = Record<string, unknown>

interface FieldBase {
  name: string
  required: boolean
  /** Must be given, but may be null: that is what an empty one means. */
  nullWhenEmpty: boolean
  hint: string
  /** What the function takes where nothing is given, as text. */
  fallback: string
}

export type Field = FieldBase &
  (
    | { kind: 'text'; long: boolean; minLength?: number; maxLength?: number; pattern?: string }
    | { kind: 'number'; integer: boolean; min?: number; max?: number; above?: number; below?: number }
    | { kind: 'flag' }
    /** One of these values, written as JSON. */
    | { kind: 'choice'; options: { value: string; label: string }[] }
    /** One text a line. */
    | { kind: 'lines' }
    | { kind: 'json'; shape: 'object' | 'array' | 'any' }
  )

/** How a function is asked for its input: field by field, or as one JSON value where it says nothing of its shape. */
export type Form = { kind: 'fields'; fields: Field[] } | { kind: 'json' }

/** Over so many letters a text gets more than a line. */
const LONG_TEXT = 1_000
/** Letters of a schema. */
const LONGEST_FOREIGN = 20_000

/**
 * Of a function that nobody installed the schema is text: no pattern of it is run, and one that is too long to be a form
 * is none.
 */
export function formOf(schema: unknown, installed: boolean): Form {
  if (!isSchema(schema) || (schema.type !== 'object' && !isSchema(schema.properties))) return { kind: 'json' }
  if (!installed && JSON.stringify(schema).length > LONGEST_FOREIGN) return { kind: 'json' }
  const properties = isSchema(schema.properties) ? schema.properties : {}
  const required = Array.isArray(schema.required) ? schema.required : []
  const fields = Object.entries(properties)
    .map(([name, value]) => fieldOf(name, value, required.includes(name)))
    .map((field) => (installed || field.kind !== 'text' ? field : withoutPattern(field)))
  // What must be given stands first; the rest keeps the order in which its author wrote it.
  return { kind: 'fields', fields: [...fields.filter((f) => f.required), ...fields.filter((f) => !f.required)] }
}

function fieldOf(name: string, value: unknown, required: boolean): Field {
  const { schema, nullable } = withoutNull(isSchema(value) ? value : {})
  const fallback = isSchema(value) && value.default !== undefined ? shown(value.default) : ''
  const hint = [value, schema]
    .map((from) => isSchema(from) && from.description)
    .find((text) => typeof text === 'string')
  const base = {
    name,
    required: required && !nullable,
    nullWhenEmpty: required && nullable,
    hint: hint || '',
    fallback,
  }
  const options = Array.isArray(schema.enum) ? schema.enum : 'const' in schema ? [schema.const] : undefined
  if (options) {
    return { ...base, kind: 'choice', options: options.map((it) => ({ value: JSON.stringify(it), label: shown(it) })) }
  }
  const { minimum: min, maximum: max, exclusiveMinimum: above, exclusiveMaximum: below } = schema
  const { minLength, maxLength, pattern, items } = schema
  switch (schema.type) {
    case 'string': {
      const long = typeof maxLength === 'number' ? maxLength > LONG_TEXT : /content|message|prompt|text/i.test(name)
      return { ...base, kind: 'text', long, ...numbers({ minLength, maxLength }), ...(isText(pattern) && { pattern }) }
    }
    case 'integer':
    case 'number':
      return { ...base, kind: 'number', integer: schema.type === 'integer', ...numbers({ min, max, above, below }) }
    case 'boolean':
      return { ...base, kind: 'flag' }
    case 'array':
      if (isSchema(items) && items.type === 'string' && !items.enum) return { ...base, kind: 'lines' }
      return { ...base, kind: 'json', shape: 'array' }
    case 'object':
      return { ...base, kind: 'json', shape: 'object' }
    default:
      return { ...base, kind: 'json', shape: 'any' }
  }
}

function withoutPattern({ pattern: _pattern, ...field }: Field & { kind: 'text' }): Field {
  return field
}

/** `T | null` asks for T. */
function withoutNull(schema: Schema): { schema: Schema; nullable: boolean } {
  const variants = schema.anyOf ?? schema.oneOf
  if (Array.isArray(variants)) {
    const others = variants.filter((variant) => !(isSchema(variant) && variant.type === 'null'))
    const [only] = others
    const nullable = others.length < variants.length
    return { schema: others.length === 1 && isSchema(only) ? only : {}, nullable }
  }
  if (Array.isArray(schema.type)) {
    const types = schema.type.filter((type) => type !== 'null')
    return {
      schema: { ...schema, type: types.length === 1 ? types[0] : undefined },
      nullable: schema.type.includes('null'),
    }
  }
  return { schema, nullable: false }
}

const isSchema = (value: unknown): value is Schema =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isText = (value: unknown): value is string => typeof value === 'string'

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

function numbers<K extends string>(given: Record<K, unknown>): Partial<Record<K, number>> {
  const known = Object.entries(given).filter(([, value]) => typeof value === 'number')
  return Object.fromEntries(known) as Partial<Record<K, number>>
}
