import type { UpdateOp } from './update-op.ts'

const LIMITS = { depth: 32, segmentBytes: 256, mergeKeys: 1_024, mergeDepth: 16 }
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype'])
const DOC_URL = 'https://iii.dev/docs/workers/iii-state#error-codes'

/** Why one operation was skipped. */
export interface UpdateOpError {
  op_index: number
  code: string
  message: string
  doc_url: string
}

interface Refusal {
  code: string
  message: string
}

type JsonObject = Record<string, unknown>

/** Either the value after an operation, or why it was skipped. */
type Step = { value: unknown } | { refusal: Refusal }

/**
 * Applies operations in order to a value, `undefined` being a record that does not exist. One that fails is skipped and
 * reported; the rest still apply. The given value is not changed.
 */
export function applyOps(value: unknown, ops: readonly UpdateOp[]): { value: unknown; errors: UpdateOpError[] } {
  let current = value
  const errors: UpdateOpError[] = []
  ops.forEach((op, index) => {
    const refusal = checkPath(op) ?? (op.type === 'merge' ? checkMerge(op.value) : undefined)
    const step = refusal ? { refusal } : applyOp(current, op)
    if ('value' in step) current = step.value
    else errors.push({ op_index: index, ...step.refusal, doc_url: DOC_URL })
  })
  return { value: current === undefined ? {} : current, errors }
}

function applyOp(root: unknown, op: UpdateOp): Step {
  switch (op.type) {
    case 'set':
      if (op.path.length === 0) return { value: op.value }
      return atKey(root, op, () => ({ value: op.value }))
    case 'merge':
      return merge(root, op.path, op.value as JsonObject)
    case 'increment':
    case 'decrement': {
      const by = op.type === 'increment' ? op.by : -op.by
      if (op.path.length === 0) return add(root, by, op.type)
      return atKey(root, op, (old) => add(old, by, op.type))
    }
    case 'append':
      if (op.path.length === 0) return append(root, op.value, false)
      if (op.path.length === 1) return atKey(root, op, (old) => append(old, op.value, false))
      return appendDeep(root, op.path, op.value)
    case 'remove': {
      const target = root === undefined ? {} : root
      if (!isObject(target)) return notAnObject(op.type)
      const { [op.path[0]!]: _removed, ...rest } = target
      return { value: rest }
    }
  }
}

/** Replaces one first-level key of the root, which has to be an object. */
function atKey(root: unknown, op: UpdateOp, change: (old: unknown) => Step): Step {
  const target = root === undefined ? {} : root
  if (!isObject(target)) return notAnObject(op.type)
  const key = op.path[0]!
  const step = change(Object.hasOwn(target, key) ? target[key] : undefined)
  return 'value' in step ? { value: { ...target, [key]: step.value } } : step
}

function add(old: unknown, by: number, type: string): Step {
  if (old === undefined || old === null) return { value: by }
  if (typeof old === 'number') return { value: old + by }
  return refuse(`${type}.not_number`, `Expected a number to ${type}, found ${kindOf(old)}`)
}

function append(old: unknown, value: unknown, nested: boolean): Step {
  if (old === undefined || old === null) return { value: typeof value === 'string' && !nested ? value : [value] }
  if (Array.isArray(old)) return { value: [...old, value] }
  if (typeof old === 'string' && typeof value === 'string') return { value: old + value }
  return refuse('append.type_mismatch', `Cannot append ${kindOf(value)} to ${kindOf(old)}`)
}

function appendDeep(root: unknown, path: readonly string[], value: unknown): Step {
  const target = root === undefined || root === null ? {} : root
  if (!isObject(target)) return notAnObject('append')
  const [key, ...rest] = path as [string, ...string[]]
  const old = Object.hasOwn(target, key) ? target[key] : undefined
  const step = rest.length === 0 ? append(old, value, true) : appendDeep(old, rest, value)
  return 'value' in step ? { value: { ...target, [key]: step.value } } : step
}

/** Objects on the way are created, and anything else on the way is replaced by one; only a root that is none stays. */
function merge(root: unknown, path: readonly string[], value: JsonObject): Step {
  if (path.length === 0 && root !== undefined && !isObject(root)) return { value: root }
  const target = isObject(root) ? root : {}
  const [key, ...rest] = path
  if (key === undefined) return { value: { ...target, ...value } }
  const old = Object.hasOwn(target, key) ? target[key] : undefined
  const step = merge(isObject(old) ? old : {}, rest, value)
  return 'value' in step ? { value: { ...target, [key]: step.value } } : step
}

function checkPath(op: UpdateOp): Refusal | undefined {
  const refused = (code: string, message: string) => ({ code: `${op.type}.path.${code}`, message })
  if (op.path.length > LIMITS.depth) return refused('too_deep', `The path has more than ${LIMITS.depth} segments`)
  for (const segment of op.path) {
    if (segment === '' && op.type !== 'remove') return refused('empty_segment', 'A segment of the path is empty')
    if (Buffer.byteLength(segment) > LIMITS.segmentBytes) {
      return refused('segment_too_long', `A segment of the path is longer than ${LIMITS.segmentBytes} bytes`)
    }
    if (FORBIDDEN.has(segment)) return refused('proto_polluted', `The key '${segment}' is not allowed in a path`)
  }
  return undefined
}

function checkMerge(value: unknown): Refusal | undefined {
  if (!isObject(value)) {
    return { code: 'merge.value.not_an_object', message: `Expected an object to merge, found ${kindOf(value)}` }
  }
  const keys = Object.keys(value)
  if (keys.length > LIMITS.mergeKeys) {
    return { code: 'merge.value.too_many_keys', message: `The value has more than ${LIMITS.mergeKeys} keys` }
  }
  const forbidden = keys.find((key) => FORBIDDEN.has(key))
  if (forbidden !== undefined) {
    return { code: 'merge.value.proto_polluted', message: `The key '${forbidden}' is not allowed` }
  }
  if (deeperThan(value, LIMITS.mergeDepth)) {
    return { code: 'merge.value.too_deep', message: `The value is nested more than ${LIMITS.mergeDepth} levels deep` }
  }
  return undefined
}

function deeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (levels === 0) return true
  return Object.values(value).some((inner) => deeperThan(inner, levels - 1))
}

function notAnObject(type: string): Step {
  return refuse(`${type}.target_not_object`, 'The stored value is not an object')
}

function refuse(code: string, message: string): Step {
  return { refusal: { code, message } }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function kindOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
