import { describe, expect, it } from 'vitest'
import { type Draft, inputOf } from './form-input.ts'
import { formOf, type Schema } from './schema-form.ts'

const object = (properties: Record<string, Schema>, required: string[] = []) => ({
  type: 'object',
  properties,
  required,
})
const field = (schema: Schema, required = false) => {
  const form = formOf(object({ x: schema }, required ? ['x'] : []), true)
  return form.kind === 'fields' ? form.fields[0]! : undefined
}
const input = (schema: unknown, draft: Draft) => inputOf(formOf(schema, true), draft)

describe('the form of a schema', () => {
  it('asks for each kind of value in its own way', () => {
    expect(field({ type: 'string' })).toMatchObject({ kind: 'text', long: false })
    expect(field({ type: 'string', maxLength: 20_000 })).toMatchObject({ kind: 'text', long: true })
    expect(field({ type: 'integer', minimum: 1 })).toMatchObject({ kind: 'number', integer: true, min: 1 })
    expect(field({ type: 'boolean' })).toMatchObject({ kind: 'flag' })
    expect(field({ enum: ['a', 2] })).toMatchObject({
      kind: 'choice',
      options: [
        { value: '"a"', label: 'a' },
        { value: '2', label: '2' },
      ],
    })
    expect(field({ type: 'array', items: { type: 'string' } })).toMatchObject({ kind: 'lines' })
    expect(field({ type: 'array', items: { type: 'object' } })).toMatchObject({ kind: 'json', shape: 'array' })
    expect(field({ type: 'object' })).toMatchObject({ kind: 'json', shape: 'object' })
    expect(field({})).toMatchObject({ kind: 'json', shape: 'any' })
  })

  it('asks for T where T or null is allowed, and for JSON where several shapes are', () => {
    expect(field({ anyOf: [{ type: 'integer' }, { type: 'null' }] }, true)).toMatchObject({
      kind: 'number',
      required: false,
    })
    expect(field({ type: ['string', 'null'] })).toMatchObject({ kind: 'text' })
    expect(field({ anyOf: [{ type: 'string' }, { type: 'object' }] })).toMatchObject({ kind: 'json', shape: 'any' })
  })

  it('puts what must be given first, and shows descriptions and defaults', () => {
    const form = formOf(
      object({ limit: { type: 'integer', default: 10 }, query: { type: 'string', description: 'Words' } }, ['query']),
      true,
    )
    expect(form).toMatchObject({
      kind: 'fields',
      fields: [
        { name: 'query', required: true, hint: 'Words' },
        { name: 'limit', required: false, fallback: '10' },
      ],
    })
  })

  it('of a function that nobody installed runs no pattern, and is one JSON value where it would be endless', () => {
    const schema = object({ x: { type: 'string', pattern: '^b+$' }, y: { type: 'integer', minimum: 1 } })
    const form = formOf(schema, false)
    expect(inputOf(form, { x: 'a', y: '2' })).toEqual({ ok: true, payload: { x: 'a', y: 2 } })
    expect(inputOf(form, { y: '0' })).toMatchObject({ ok: false })
    const options = Array.from({ length: 5_000 }, (_, n) => `option ${n}`)
    expect(formOf(object({ x: { enum: options } }), false)).toEqual({ kind: 'json' })
    expect(formOf(object({ x: { enum: options } }), true)).toMatchObject({ kind: 'fields' })
  })

  it('asks for one JSON value where a function says nothing', () => {
    expect(formOf(null, true)).toEqual({ kind: 'json' })
    expect(formOf({ type: 'string' }, true)).toEqual({ kind: 'json' })
    expect(formOf({ type: 'object' }, true)).toEqual({ kind: 'fields', fields: [] })
  })
})

describe('the input of a form', () => {
  const schema = object(
    {
      name: { type: 'string', minLength: 1, maxLength: 5, pattern: '^[a-z]+$' },
      age: { type: 'integer', minimum: 0, exclusiveMaximum: 150 },
      on: { type: 'boolean' },
      mode: { enum: ['fast', 'slow'] },
      tags: { type: 'array', items: { type: 'string' } },
      more: { type: 'object' },
    },
    ['name'],
  )

  it('leaves out what is empty and types the rest', () => {
    expect(input(schema, { name: 'rex' })).toEqual({ ok: true, payload: { name: 'rex' } })
    expect(
      input(schema, { name: 'rex', age: ' 7 ', on: true, mode: '"slow"', tags: 'a\n\n b ', more: '{"k":[1]}' }),
    ).toEqual({
      ok: true,
      payload: { name: 'rex', age: 7, on: true, mode: 'slow', tags: ['a', 'b'], more: { k: [1] } },
    })
    expect(input(schema, { name: 'rex', on: false, tags: '' })).toEqual({
      ok: true,
      payload: { name: 'rex', on: false },
    })
  })

  it.each([
    [{}, { name: 'This has to be given.' }],
    [{ name: 'toolong' }, { name: 'At most 5 letters, please.' }],
    [{ name: 'UP' }, { name: 'This has to match ^[a-z]+$' }],
    [{ name: 'rex', age: 'old' }, { age: 'This is not a number.' }],
    [{ name: 'rex', age: '1.5' }, { age: 'A whole number, please.' }],
    [{ name: 'rex', age: '-1' }, { age: 'At least 0, please.' }],
    [{ name: 'rex', age: '150' }, { age: 'Less than 150, please.' }],
    [{ name: 'rex', more: '[]' }, { more: 'A JSON object, please: { … }' }],
    [{ name: 'rex', more: '{k' }, { more: expect.stringContaining('This is not JSON') }],
  ])('says what is wrong with %j', (draft, problems) => {
    expect(input(schema, draft)).toEqual({ ok: false, problems })
  })

  it('takes any JSON where there is no schema, and nothing as an empty object', () => {
    expect(input(null, {})).toEqual({ ok: true, payload: {} })
    expect(input(null, { '': '[1, 2]' })).toEqual({ ok: true, payload: [1, 2] })
    expect(input(null, { '': '{' })).toMatchObject({ ok: false })
  })

  it('sends null where a value must be given and may be null', () => {
    const nullable = { anyOf: [{ type: 'string', minLength: 1 }, { type: 'null' }] }
    expect(input(object({ x: nullable, y: nullable }, ['x']), {})).toEqual({ ok: true, payload: { x: null } })
  })

  it('sends an empty text and an untouched flag where they must be given', () => {
    expect(input(object({ x: { type: 'string' }, y: { type: 'boolean' } }, ['x', 'y']), {})).toEqual({
      ok: true,
      payload: { x: '', y: false },
    })
  })
})
