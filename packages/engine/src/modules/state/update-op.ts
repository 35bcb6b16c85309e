import { Input, invalid } from '../input.ts'

export const OP_TYPES = ['set', 'merge', 'increment', 'decrement', 'append', 'remove'] as const

/** One step of `state::update`. `path` is a list of literal keys; empty is the root. */
export type UpdateOp =
  | { type: 'set'; path: string[]; value: unknown }
  | { type: 'merge'; path: string[]; value: unknown }
  | { type: 'increment' | 'decrement'; path: string[]; by: number }
  | { type: 'append'; path: string[]; value: unknown }
  | { type: 'remove'; path: string[] }

/** Reads the `ops` of an input; throws `deserialization_error` where one has not the protocol's shape. */
export function readOps(functionId: string, input: Input): UpdateOp[] {
  return input.list('ops').map((raw) => {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) {
      throw input.mismatch(`${invalid(raw)}, expected an update operation`)
    }
    return readOp(new Input(functionId, raw))
  })
}

function readOp(op: Input): UpdateOp {
  const type = op.optionalOneOf('type', OP_TYPES)
  switch (type) {
    case undefined:
      throw op.mismatch('missing field `type`')
    case 'set':
      return { type, path: keyPath(op), value: op.has('value') ? op.anyValue('value') : null }
    case 'merge':
      return { type, path: freePath(op), value: op.anyValue('value') }
    case 'append':
      return { type, path: freePath(op), value: op.anyValue('value') }
    case 'increment':
    case 'decrement': {
      const bounds = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER }
      const by = op.optionalInteger('by', bounds)
      if (by === undefined) throw op.mismatch('missing field `by`')
      return { type, path: keyPath(op), by }
    }
    case 'remove':
      return { type, path: [op.string('path')] }
  }
}

/** A single first-level key; the empty string is the root. */
function keyPath(op: Input): string[] {
  const path = op.string('path')
  return path === '' ? [] : [path]
}

/** A key, a list of keys, or nothing for the root. */
function freePath(op: Input): string[] {
  const path = op.optionalValue('path')
  if (path === undefined || path === '') return []
  if (typeof path === 'string') return [path]
  if (!Array.isArray(path)) throw op.mismatch(`${invalid(path)} for \`path\`, expected a string or a sequence`)
  return path.map((segment) => {
    if (typeof segment !== 'string') throw op.mismatch(`${invalid(segment)} for \`path\`, expected a string`)
    return segment
  })
}
