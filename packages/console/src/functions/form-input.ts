import type { Field, Form } from './schema-form.ts'

/** What a person has written so far, by field; a field that was not touched is absent. */
export type Draft = Readonly<Record<string, string | boolean>>

/** Name under which the draft of a form without fields stands. */
export const WHOLE = ''

export type FormInput = { ok: true; payload: unknown } | { ok: false; problems: Record<string, string> }

/**
 * The payload that a draft stands for, or what is wrong with it, by field. What is empty and may be absent is left
 * out, so that the function's own defaults count. The function checks again: this only saves the way there.
 */
export function inputOf(form: Form, draft: Draft): FormInput {
  if (form.kind === 'json') {
    const text = String(draft[WHOLE] ?? '').trim()
    const read = parse(text === '' ? '{}' : text, 'any')
    return 'problem' in read ? { ok: false, problems: { [WHOLE]: read.problem } } : { ok: true, payload: read.value }
  }
  const payload: Record<string, unknown> = {}
  const problems: Record<string, string> = {}
  for (const field of form.fields) {
    const read = readField(field, draft[field.name])
    if ('problem' in read) problems[field.name] = read.problem
    else if (read.value !== undefined) payload[field.name] = read.value
  }
  return Object.keys(problems).length > 0 ? { ok: false, problems } : { ok: true, payload }
}

type Read = { value: unknown } | { problem: string }

function readField(field: Field, written: string | boolean | undefined): Read {
  if (field.kind === 'flag') return { value: written ?? (field.required ? false : absent(field)) }
  const text = String(written ?? '')
  if (field.kind === 'text') return readText(field, text)
  if (text.trim() === '') return field.required ? { problem: 'This has to be given.' } : { value: absent(field) }
  switch (field.kind) {
    case 'number':
      return readNumber(field, text.trim())
    case 'choice':
      return { value: JSON.parse(text) }
    case 'lines':
      return {
        value: text
          .split('\n')
          .map((line) => line.trim())
          .filter(Boolean),
      }
    case 'json':
      return parse(text, field.shape)
  }
}

const absent = ({ nullWhenEmpty }: Field): null | undefined => (nullWhenEmpty ? null : undefined)

function readText(field: Field & { kind: 'text' }, text: string): Read {
  const { required, minLength = 0, maxLength, pattern } = field
  if (text === '' && !required) return { value: absent(field) }
  if (text === '' && minLength > 0) return { problem: 'This has to be given.' }
  if (text.length < minLength) return { problem: `At least ${minLength} letters, please.` }
  if (maxLength !== undefined && text.length > maxLength) return { problem: `At most ${maxLength} letters, please.` }
  if (pattern !== undefined && !matches(pattern, text)) return { problem: `This has to match ${pattern}` }
  return { value: text }
}

function readNumber(field: Field & { kind: 'number' }, text: string): Read {
  const value = Number(text)
  const { integer, min, max, above, below } = field
  if (!Number.isFinite(value)) return { problem: 'This is not a number.' }
  if (integer && !Number.isInteger(value)) return { problem: 'A whole number, please.' }
  if (min !== undefined && value < min) return { problem: `At least ${min}, please.` }
  if (max !== undefined && value > max) return { problem: `At most ${max}, please.` }
  if (above !== undefined && value <= above) return { problem: `More than ${above}, please.` }
  if (below !== undefined && value >= below) return { problem: `Less than ${below}, please.` }
  return { value }
}

function parse(text: string, shape: 'object' | 'array' | 'any'): Read {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { problem: `This is not JSON: ${error instanceof Error ? error.message : error}` }
  }
  if (shape === 'array' && !Array.isArray(value)) return { problem: 'A JSON array, please: [ … ]' }
  if (shape === 'object' && (typeof value !== 'object' || value === null || Array.isArray(value))) {
    return { problem: 'A JSON object, please: { … }' }
  }
  return { value }
}

/** A pattern that this browser cannot read is left to the function. */
function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern, 'u').test(text)
  } catch {
    return true
  }
}
