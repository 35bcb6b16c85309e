import { describe, expect, it } from 'vitest'
import { encodeInvoke, encodeResult } from './encode.ts'
import type { Payload } from './payload.ts'

const ID = '11111111-1111-4111-8111-111111111111'
const head = { invocation_id: ID, function_id: 'math::"add"' }

function both(json: string): Payload[] {
  return [{ value: JSON.parse(json) }, { json: Buffer.from(json) }]
}

describe('calls', () => {
  it.each(both('{"a":1,"b":[2]}'))('carry their payload and the caller as its last key', (payload) => {
    expect(encodeInvoke(head, payload, 'w1').toString()).toBe(
      `{"type":"invokefunction","invocation_id":"${ID}","function_id":"math::\\"add\\"","data":{"a":1,"b":[2],"_caller_worker_id":"w1"}}`,
    )
  })

  it.each(both('{"_caller_worker_id":"forged","a":1}'))('overrule what the caller wrote as its own id', (payload) => {
    expect(JSON.parse(encodeInvoke(head, payload, 'w1').toString()).data).toEqual({ a: 1, _caller_worker_id: 'w1' })
    expect(JSON.parse(encodeInvoke(head, payload).toString()).data).toEqual({ a: 1, _caller_worker_id: 'forged' })
  })

  it.each(both(' { } '))('add the caller to an empty object', (payload) => {
    expect(JSON.parse(encodeInvoke(head, payload, 'w1').toString()).data).toEqual({ _caller_worker_id: 'w1' })
  })

  it.each(['[1]', '"text"', '3', 'null', 'true'].flatMap(both))('leave everything but objects alone', (payload) => {
    const data = JSON.parse(encodeInvoke(head, payload, 'w1').toString()).data
    expect(data).toEqual('json' in payload ? JSON.parse(payload.json.toString()) : payload.value)
  })

  it('do not change the value that they carry', () => {
    const value = Object.freeze({ _caller_worker_id: 'forged', a: 1 })
    encodeInvoke(head, { value }, 'w1')
    expect(value).toEqual({ _caller_worker_id: 'forged', a: 1 })
  })

  it('have no data where there is none', () => {
    expect(JSON.parse(encodeInvoke(head, undefined, 'w1').toString())).not.toHaveProperty('data')
    expect(JSON.parse(encodeInvoke(head, { value: undefined }, 'w1').toString())).not.toHaveProperty('data')
  })
})

describe('results', () => {
  it.each(both('{"sum":3}'))('carry their payload as it is', (payload) => {
    expect(encodeResult({ invocation_id: ID, function_id: 'f' }, payload).toString()).toBe(
      `{"type":"invocationresult","invocation_id":"${ID}","function_id":"f","result":{"sum":3}}`,
    )
  })

  it('have no result where there is an error', () => {
    const error = { code: 'not_found', message: 'no' }
    expect(JSON.parse(encodeResult({ invocation_id: ID, error }).toString())).toEqual({
      type: 'invocationresult',
      invocation_id: ID,
      error,
    })
  })

  it('keep a payload of bytes as it is', () => {
    const json = Buffer.from('1')
    expect(encodeResult({ invocation_id: ID }, { value: 1 })).toBeTypeOf('string')
    expect(encodeResult({ invocation_id: ID }, { json })).toMatchObject({ json })
  })
})
