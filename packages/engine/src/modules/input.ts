import { EngineError } from '@agentos/protocol'

/**
 * Reads the input of a function of the engine, field by field. Unknown fields are ignored, `null` is absent where a
 * field is optional, and what does not fit is a `deserialization_error` in the protocol's words.
 */
export class Input {
  private readonly functionId: string
  private readonly fields: Record<string, unknown>

  constructor(functionId: string, value: unknown) {
    this.functionId = functionId
    const input = value ?? {}
    if (typeof input !== 'object' || Array.isArray(input)) throw this.mismatch(`${invalid(value)}, expected an object`)
    this.fields = input as Record<string, unknown>
  }

  has(name: string): boolean {
    return Object.hasOwn(this.fields, name)
  }

  string(name: string): string {
    return this.required(name, this.optionalString(name), 'a string')
  }

  optionalString(name: string): string | undefined {
    const value = this.optional(name)
    if (value !== undefined && typeof value !== 'string') throw this.wrong(name, value, 'a string')
    return value
  }

  optionalNumber(name: string): number | undefined {
    const value = this.optional(name)
    if (value !== undefined && typeof value !== 'number') throw this.wrong(name, value, 'a number')
    return value
  }

  optionalInteger(name: string, bounds: { min: number; max: number }): number | undefined {
    const value = this.optional(name)
    if (value === undefined) return undefined
    if (!Number.isSafeInteger(value)) throw this.wrong(name, value, 'an integer')
    const number = value as number
    if (number >= bounds.min && number <= bounds.max) return number
    throw this.mismatch(`invalid value for \`${name}\`: ${number}, expected ${bounds.min} to ${bounds.max}`)
  }

  optionalBoolean(name: string): boolean | undefined {
    const value = this.optional(name)
    if (value !== undefined && typeof value !== 'boolean') throw this.wrong(name, value, 'a boolean')
    return value
  }

  optionalOneOf<T extends string>(name: string, variants: readonly T[]): T | undefined {
    const value = this.optionalString(name)
    if (value === undefined) return undefined
    const found = variants.find((variant) => variant === value)
    if (found !== undefined) return found
    throw this.mismatch(
      `unknown variant \`${value}\`, expected one of ${variants.map((name) => `\`${name}\``).join(', ')}`,
    )
  }

  list(name: string): unknown[] {
    return this.required(name, this.optionalList(name), 'a sequence')
  }

  optionalList(name: string): unknown[] | undefined {
    const value = this.optional(name)
    if (value !== undefined && !Array.isArray(value)) throw this.wrong(name, value, 'a sequence')
    return value
  }

  /** Any JSON value, `null` too; the first of the names that is there. */
  anyValue(...names: [string, ...string[]]): unknown {
    const name = names.find((candidate) => this.has(candidate))
    if (name === undefined) throw this.mismatch(`missing field \`${names[0]}\``)
    return this.fields[name]
  }

  optionalValue(name: string): unknown {
    return this.optional(name)
  }

  mismatch(reason: string): EngineError {
    return new EngineError('deserialization_error', `Failed to deserialize input for ${this.functionId}: ${reason}`)
  }

  private optional(name: string): unknown {
    return Object.hasOwn(this.fields, name) ? (this.fields[name] ?? undefined) : undefined
  }

  private required<T>(name: string, value: T | undefined, expected: string): T {
    if (value !== undefined) return value
    if (this.has(name)) throw this.wrong(name, null, expected)
    throw this.mismatch(`missing field \`${name}\``)
  }

  private wrong(name: string, value: unknown, expected: string): EngineError {
    return this.mismatch(`${invalid(value)} for \`${name}\`, expected ${expected}`)
  }
}

/** `invalid type: …` as the protocol's reference engine puts it. */
export function invalid(value: unknown): string {
  if (value === null || value === undefined) return 'invalid type: null'
  if (Array.isArray(value)) return 'invalid type: sequence'
  if (typeof value === 'object') return 'invalid type: map'
  if (typeof value === 'string') return `invalid type: string ${JSON.stringify(value.slice(0, 80))}`
  const kind = typeof value === 'boolean' ? 'boolean' : Number.isInteger(value) ? 'integer' : 'floating point'
  return `invalid type: ${kind} \`${String(value)}\``
}
