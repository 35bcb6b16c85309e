import { describe, expect, it } from 'vitest'
import { Input } from '../input.ts'
import { applyOps } from './update.ts'
import { readOps } from './update-op.ts'

function apply(value: unknown, ...ops: unknown[]): { value: unknown; codes: string[] } {
  const result = applyOps(value, readOps('state::update', new Input('state::update', { ops })))
  return { value: result.value, codes: result.errors.map((error) => error.code) }
}

describe('update operations', () => {
  it('set a first-level key, or replace the root', () => {
    expect(apply({ a: 1 }, { type: 'set', path: 'b.c', value: 2 }).value).toEqual({ a: 1, 'b.c': 2 })
    expect(apply({ a: 1 }, { type: 'set', path: '', value: [1] }).value).toEqual([1])
    expect(apply({ a: 1 }, { type: 'set', path: '' }).value).toBeNull()
    expect(apply(undefined, { type: 'set', path: 'a', value: 1 }).value).toEqual({ a: 1 })
    expect(apply('text', { type: 'set', path: 'a', value: 1 })).toEqual({
      value: 'text',
      codes: ['set.target_not_object'],
    })
  })

  it('merge objects shallowly, creating and replacing what is on the way', () => {
    expect(apply({ a: { b: 1 } }, { type: 'merge', value: { a: { c: 2 } } }).value).toEqual({ a: { c: 2 } })
    expect(apply({ a: { b: 1 } }, { type: 'merge', path: 'a', value: { c: 2 } }).value).toEqual({ a: { b: 1, c: 2 } })
    expect(apply({ a: 5 }, { type: 'merge', path: ['a', 'b'], value: { c: 2 } }).value).toEqual({ a: { b: { c: 2 } } })
    expect(apply(undefined, { type: 'merge', value: { a: 1 } }).value).toEqual({ a: 1 })
    expect(apply([1], { type: 'merge', value: { a: 1 } })).toEqual({ value: [1], codes: [] })
  })

  it('count up and down, from nothing and with fractions', () => {
    expect(apply(undefined, { type: 'increment', path: 'n', by: 5 }).value).toEqual({ n: 5 })
    expect(apply({ n: 1.5 }, { type: 'decrement', path: 'n', by: 3 }).value).toEqual({ n: -1.5 })
    expect(apply(undefined, { type: 'decrement', path: '', by: 2 }).value).toBe(-2)
    expect(apply({ n: 'x' }, { type: 'increment', path: 'n', by: 1 }).codes).toEqual(['increment.not_number'])
    expect(apply({ n: 'x' }, { type: 'decrement', path: 'n', by: 1 }).codes).toEqual(['decrement.not_number'])
    expect(apply([1], { type: 'increment', path: 'n', by: 1 }).codes).toEqual(['increment.target_not_object'])
    expect(apply([1], { type: 'decrement', path: 'n', by: 1 }).codes).toEqual(['decrement.target_not_object'])
  })

  it('append to lists and strings', () => {
    expect(apply({ l: [1] }, { type: 'append', path: 'l', value: [2] }).value).toEqual({ l: [1, [2]] })
    expect(apply({ s: 'a' }, { type: 'append', path: 's', value: 'b' }).value).toEqual({ s: 'ab' })
    expect(apply({ s: null }, { type: 'append', path: 's', value: 'b' }).value).toEqual({ s: 'b' })
    expect(apply({}, { type: 'append', path: 'l', value: 1 }).value).toEqual({ l: [1] })
    expect(apply(undefined, { type: 'append', value: 'x' }).value).toBe('x')
    expect(apply({}, { type: 'append', path: ['a', 'b'], value: 'x' }).value).toEqual({ a: { b: ['x'] } })
    expect(apply({ n: 1 }, { type: 'append', path: 'n', value: 'x' }).codes).toEqual(['append.type_mismatch'])
    expect(apply('s', { type: 'append', path: 'n', value: 'x' }).codes).toEqual(['append.target_not_object'])
    expect(apply({ a: 1 }, { type: 'append', path: ['a', 'b'], value: 1 }).codes).toEqual(['append.target_not_object'])
  })

  it('remove a first-level key', () => {
    expect(apply({ a: 1, b: 2 }, { type: 'remove', path: 'a' }).value).toEqual({ b: 2 })
    expect(apply({ b: 2 }, { type: 'remove', path: 'a' })).toEqual({ value: { b: 2 }, codes: [] })
    expect(apply([], { type: 'remove', path: 'a' }).codes).toEqual(['remove.target_not_object'])
  })

  it('apply the rest after one that is skipped, and say which one', () => {
    const ops = [
      { type: 'set' as const, path: ['a'], value: 1 },
      { type: 'increment' as const, path: ['__proto__'], by: 1 },
      { type: 'set' as const, path: ['b'], value: 2 },
    ]
    const result = applyOps(undefined, ops)
    expect(result.value).toEqual({ a: 1, b: 2 })
    expect(result.errors).toEqual([
      {
        op_index: 1,
        code: 'increment.path.proto_polluted',
        message: expect.any(String),
        doc_url: 'https://iii.dev/docs/workers/iii-state#error-codes',
      },
    ])
  })

  it('hold to the limits of paths and merged values', () => {
    const nested = (levels: number): unknown => (levels === 1 ? {} : { a: nested(levels - 1) })
    const wide = Object.fromEntries(Array.from({ length: 1_025 }, (_, n) => [`k${n}`, n]))
    const code = (op: object) => apply({}, op).codes[0]
    expect(code({ type: 'set', path: 'é'.repeat(129), value: 1 })).toBe('set.path.segment_too_long')
    expect(code({ type: 'merge', path: Array(33).fill('a'), value: {} })).toBe('merge.path.too_deep')
    expect(code({ type: 'merge', path: Array(32).fill('a'), value: {} })).toBeUndefined()
    expect(code({ type: 'append', path: ['a', ''], value: 1 })).toBe('append.path.empty_segment')
    expect(code({ type: 'remove', path: 'prototype' })).toBe('remove.path.proto_polluted')
    expect(code({ type: 'merge', value: [1] })).toBe('merge.value.not_an_object')
    expect(code({ type: 'merge', value: wide })).toBe('merge.value.too_many_keys')
    expect(code({ type: 'merge', value: JSON.parse('{"__proto__":1}') })).toBe('merge.value.proto_polluted')
    expect(code({ type: 'merge', value: nested(17) })).toBe('merge.value.too_deep')
    expect(code({ type: 'merge', value: nested(16) })).toBeUndefined()
  })

  it('are refused as a whole where they have not the shape of an operation', () => {
    expect(() => apply({}, { type: 'double', path: 'a' })).toThrow(/unknown variant `double`, expected one of `set`/)
    expect(() => apply({}, { type: 'increment', path: 'a', by: 1.5 })).toThrow(/floating point `1.5` for `by`/)
    expect(() => apply({}, { type: 'increment', path: 'a' })).toThrow(/missing field `by`/)
    expect(() => apply({}, { type: 'set', value: 1 })).toThrow(/missing field `path`/)
    expect(() => apply({}, 'set')).toThrow(/invalid type: string "set"/)
  })

  it('never change the given value', () => {
    const value = Object.freeze({ l: Object.freeze([1]), o: Object.freeze({ a: 1 }) })
    apply(value, { type: 'append', path: 'l', value: 2 }, { type: 'merge', path: 'o', value: { b: 1 } })
    expect(value).toEqual({ l: [1], o: { a: 1 } })
  })
})
