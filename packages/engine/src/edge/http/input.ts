import { EngineError } from '@agentos/protocol'
import { resolveRef, type Schema, schemaObject } from './json-schema.ts'

type Kind = 'string' | 'number' | 'boolean' | 'array'

export interface InputSchema {
  /** JSON Schema, `undefined` where nobody said. */
  schema: unknown
  /** Of an installed function. Of any other only the plain type of a property is read: its branches may have no end. */
  installed: boolean
}

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/
const MAX_DEPTH = 16

/**
 * Input of a contract from the parts of a request: body, then query, then path, the later winning. Strings become
 * numbers, booleans and lists only where the schema wants nothing else. Keys that begin with `_` are the engine's and
 * are dropped.
 */
export function buildInput(parts: {
  body: unknown
  query: URLSearchParams
  params: Record<string, string>
  schema: InputSchema
}): unknown {
  const { body, query, params, schema } = parts
  const names = Object.keys(params)
  if (body !== undefined && !isRecord(body)) {
    if (query.size === 0 && names.length === 0) return body
    throw new EngineError('invalid_input', 'The body of this route is a JSON object')
  }
  const input: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(body ?? {})) if (!key.startsWith('_')) input[key] = value
  for (const key of new Set(query.keys())) {
    if (!key.startsWith('_')) input[key] = coerce(query.getAll(key), schema, key)
  }
  for (const name of names) {
    if (!name.startsWith('_')) input[name] = coerce([decode(params[name]!)], schema, name)
  }
  return input
}

/** May the bytes of this body travel as they are, because nothing would be added or dropped? */
export function isUntouched(body: unknown, query: URLSearchParams, params: Record<string, string>): boolean {
  if (query.size > 0 || Object.keys(params).length > 0 || !isRecord(body)) return false
  return !Object.keys(body).some((key) => key.startsWith('_'))
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Percent-decodes a path parameter. Throws `invalid_input` for a broken escape. */
function decode(raw: string): string {
  try {
    return decodeURIComponent(raw)
  } catch {
    throw new EngineError('invalid_input', `The path holds a broken percent escape: ${raw.slice(0, 100)}`)
  }
}

function coerce(values: string[], { schema, installed }: InputSchema, name: string): unknown {
  const root = schemaObject(schema)
  return coerceTo(values, installed ? propertySchemas(root, name, root, 0) : plainType(root, name), root, 0)
}

/** Only what stands right there: nothing is followed. */
function plainType(schema: Schema | undefined, name: string): Schema[] {
  const type = schemaObject(own(schemaObject(schema?.properties), name))?.type
  return typeof type === 'string' ? [{ type }] : []
}

const own = (object: Schema | undefined, name: string): unknown =>
  object && Object.hasOwn(object, name) ? object[name] : undefined

function coerceTo(values: string[], schemas: readonly Schema[], root: unknown, depth: number): unknown {
  const last = values[values.length - 1]!
  const kinds = new Set<Kind | 'other'>()
  for (const schema of schemas) collectKinds(schema, root, kinds, 0)
  if (kinds.has('string')) return last
  if (kinds.has('array') && depth < 2) {
    const items = schemas.flatMap((schema) => itemSchemas(schema, root, 0))
    const list = values.length === 1 ? (last === '' ? [] : last.split(',')) : values
    return list.map((value) => coerceTo([value], items, root, depth + 1))
  }
  if (kinds.has('number') && NUMBER.test(last)) return Number(last)
  if (kinds.has('boolean') && (last === 'true' || last === 'false')) return last === 'true'
  return last
}

/** Everything that the schema says of one property: by name in any branch, else what it says of further ones. */
function propertySchemas(schema: Schema | undefined, name: string, root: unknown, depth: number): Schema[] {
  if (!schema || depth > MAX_DEPTH) return []
  const target = resolveRef(schema, root)
  if (!target) return []
  const named = schemaObject(own(schemaObject(target.properties), name))
  if (named) return [named]
  const found = branches(target).flatMap((branch) => propertySchemas(branch, name, root, depth + 1))
  if (found.length > 0) return found
  const rest = schemaObject(target.additionalProperties)
  return rest ? [rest] : []
}

function collectKinds(schema: Schema, root: unknown, kinds: Set<Kind | 'other'>, depth: number): void {
  const target = depth > MAX_DEPTH ? undefined : resolveRef(schema, root)
  if (!target) return
  for (const type of [target.type].flat()) if (typeof type === 'string') kinds.add(kindOf(type))
  if (target.type === undefined) {
    for (const value of [target.const, ...(Array.isArray(target.enum) ? target.enum : [])]) {
      if (value !== undefined) kinds.add(kindOf(typeof value))
    }
  }
  for (const branch of branches(target)) collectKinds(branch, root, kinds, depth + 1)
}

function itemSchemas(schema: Schema, root: unknown, depth: number): Schema[] {
  const target = depth > MAX_DEPTH ? undefined : resolveRef(schema, root)
  if (!target) return []
  const items = schemaObject(target.items)
  return [...(items ? [items] : []), ...branches(target).flatMap((branch) => itemSchemas(branch, root, depth + 1))]
}

function branches(schema: Schema): Schema[] {
  const lists = [schema.anyOf, schema.oneOf, schema.allOf].filter((list) => Array.isArray(list))
  return lists.flat().flatMap((branch): Schema[] => {
    const object = schemaObject(branch)
    return object ? [object] : []
  })
}

function kindOf(type: string): Kind | 'other' {
  if (type === 'integer' || type === 'number') return 'number'
  if (type === 'string' || type === 'boolean' || type === 'array') return type
  return 'other'
}
