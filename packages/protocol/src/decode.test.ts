import { describe, expect, it } from 'vitest'
import { type Decoded, decodeFrame, SPLICE_BYTES } from './decode.ts'
import { payloadValue } from './payload.ts'

const ID = '11111111-1111-4111-8111-111111111111'

function decode(frame: unknown): Decoded | undefined {
  return decodeFrame(Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame)))
}

function reason(frame: unknown): string | undefined {
  let text: string | undefined
  const decoded = decodeFrame(Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame)), (why) => {
    text = why
  })
  expect(decoded).toBeUndefined()
  return text
}

/** The same frame over the size from which payloads stay bytes. */
function large(frame: object): object {
  return { ...frame, padding: 'x'.repeat(SPLICE_BYTES) }
}

describe('frames as the published clients send them', () => {
  it.each([
    ['{"type":"registertriggertype","id":"tt","description":"D"}', { id: 'tt', description: 'D' }],
    ['{"type":"registerservice","id":"svc","name":"svc"}', { id: 'svc', name: 'svc' }],
    [
      '{"type":"registerfunction","description":"desc","metadata":{"public":true},"request_format":{"type":"object"},"id":"echo"}',
      { id: 'echo', description: 'desc', metadata: { public: true }, request_format: { type: 'object' } },
    ],
    [
      '{"type":"registerfunction","id":"hook","invocation":{"url":"https://x","method":"POST","auth":{"type":"bearer","token_key":"T"}}}',
      { id: 'hook', invocation: { url: 'https://x', method: 'POST', auth: { type: 'bearer', token_key: 'T' } } },
    ],
    [
      `{"type":"registertrigger","function_id":"echo","config":{"api_path":"x"},"metadata":{"z":1},"id":"${ID}","message_type":"registertrigger","trigger_type":"http"}`,
      { id: ID, trigger_type: 'http', function_id: 'echo', config: { api_path: 'x' }, metadata: { z: 1 } },
    ],
    [
      '{"type":"triggerregistrationresult","id":"tid1","message_type":"triggerregistrationresult","function_id":"f","trigger_type":"tt"}',
      { id: 'tid1', function_id: 'f', trigger_type: 'tt' },
    ],
    [
      `{"type":"unregistertrigger","id":"${ID}","message_type":"unregistertrigger","trigger_type":"http"}`,
      { id: ID, trigger_type: 'http' },
    ],
    ['{"type":"ping"}', {}],
  ])('reads %s', (text, fields) => {
    expect(decode(text)).toEqual({ frame: { type: JSON.parse(text).type, ...fields } })
  })

  it('reads calls with and without an id, an action or data', () => {
    expect(
      decode(
        `{"type":"invokefunction","invocation_id":"${ID}","function_id":"echo","data":{"a":1},"metadata":{"m":2}}`,
      ),
    ).toEqual({
      frame: { type: 'invokefunction', invocation_id: ID, function_id: 'echo', metadata: { m: 2 } },
      payload: { value: { a: 1 } },
    })
    expect(decode('{"type":"invokefunction","function_id":"v","action":{"type":"void"}}')).toEqual({
      frame: { type: 'invokefunction', function_id: 'v', action: { type: 'void' } },
    })
    expect(
      decode('{"type":"invokefunction","function_id":"q","data":null,"action":{"type":"enqueue","queue":"default"}}'),
    ).toEqual({
      frame: { type: 'invokefunction', function_id: 'q', action: { type: 'enqueue', queue: 'default' } },
      payload: { value: null },
    })
  })

  it('takes null for absent wherever a field is optional, and an empty traceparent too', () => {
    expect(
      decode({
        type: 'invokefunction',
        invocation_id: null,
        function_id: 'f',
        data: 1,
        action: null,
        traceparent: '',
        baggage: null,
        metadata: null,
        deadline_ms: null,
      }),
    ).toEqual({ frame: { type: 'invokefunction', function_id: 'f' }, payload: { value: 1 } })
  })

  it('reads a null result as no result, and an error beside it', () => {
    const error = { code: 'invocation_failed', message: 'boom', stacktrace: 'Error: boom' }
    expect(decode({ type: 'invocationresult', invocation_id: ID, result: null, error })).toEqual({
      frame: { type: 'invocationresult', invocation_id: ID, error },
    })
    expect(decode({ type: 'invocationresult', invocation_id: ID, error, refused: true })).toEqual({
      frame: { type: 'invocationresult', invocation_id: ID, error, refused: true },
    })
    // What was refused has no result.
    expect(decode({ type: 'invocationresult', invocation_id: ID, result: 1, refused: true })?.frame).not.toHaveProperty(
      'refused',
    )
    const padded = `{"type":"invocationresult","invocation_id":"${ID}","result": null ,"x":"${'x'.repeat(5000)}"}`
    expect(decode(padded)).toEqual({ frame: { type: 'invocationresult', invocation_id: ID } })
  })

  it('takes any JSON as the config of a trigger, but not its absence', () => {
    const frame = { type: 'registertrigger', id: 't', trigger_type: 'x', function_id: 'f' }
    expect(decode({ ...frame, config: null })?.frame).toMatchObject({ config: null })
    expect(decode({ ...frame, config: {} })?.frame).toMatchObject({ config: {} })
    expect(reason(frame)).toContain('config')
  })

  it('does not take a context from a worker', () => {
    const forged = { type: 'invokefunction', function_id: 'f', context: { realm: 'other' } }
    expect(decode(forged)).toEqual({ frame: { type: 'invokefunction', function_id: 'f' } })
    expect(decode(large(forged))?.frame).not.toHaveProperty('context')
  })
})

describe('large frames', () => {
  it('keeps the payload as the bytes that were sent', () => {
    const data = `{ "text" : "${'é'.repeat(SPLICE_BYTES)}", "n": 1.0 }`
    const decoded = decode(`{"type":"invokefunction","function_id":"f","data": ${data} }`)
    expect(decoded?.frame).toEqual({ type: 'invokefunction', function_id: 'f' })
    expect(decoded?.payload).toEqual({ json: Buffer.from(data) })
    expect(payloadValue(decoded?.payload)).toEqual(JSON.parse(data))
  })

  it('reads registrations with large schemas as values', () => {
    const schema = { type: 'object', description: 'x'.repeat(SPLICE_BYTES) }
    expect(decode({ type: 'registerfunction', id: 'f', request_format: schema, data: 1 })).toEqual({
      frame: { type: 'registerfunction', id: 'f', request_format: schema },
    })
  })
})

describe('frames that are refused', () => {
  it.each([
    ['blank', ''],
    ['not JSON', '{"type":'],
    ['an array', '[]'],
    ['a number', '1'],
    ['no type', '{}'],
    ['an unknown type', '{"type":"unregistertriggertype","id":"tt"}'],
    ['a type of another kind', '{"type":["ping"]}'],
    ['a name every object has', '{"type":"constructor"}'],
    ['no function', '{"type":"invokefunction"}'],
    ['an empty function id', '{"type":"invokefunction","function_id":""}'],
    ['an id that is no UUID', '{"type":"invokefunction","invocation_id":"1","function_id":"f"}'],
    ['an unknown action', '{"type":"invokefunction","function_id":"f","action":{"type":"later"}}'],
    ['a queue that is missing', '{"type":"invokefunction","function_id":"f","action":{"type":"enqueue"}}'],
    ['a negative deadline', '{"type":"invokefunction","function_id":"f","deadline_ms":-1}'],
    ['half an error', `{"type":"invocationresult","invocation_id":"${ID}","error":{"code":"x"}}`],
    ['a method that is not one', '{"type":"registerfunction","id":"f","invocation":{"url":"u","method":"BREW"}}'],
    ['headers that are no texts', '{"type":"registerfunction","id":"f","invocation":{"url":"u","headers":{"a":1}}}'],
  ])('refuses %s with a reason', (_, text) => {
    expect(reason(text)).toBeTruthy()
  })

  it.each([
    '{"type":"invokefunction","function_id":"a","function_id":"b"}',
    '{"type":"ping","type":"invokefunction","function_id":"f"}',
    '{"type":"invokefunction","function_id":"a","functio\\u006e_id":"b"}',
    '{"type":"invokefunction","function_id":"f","data":{"a":[1,{"b":"}\\""}]},"data":2}',
    '{"type":"ping","__proto__":1,"__proto__":2}',
  ])('refuses two equal keys in the envelope: %s', (text) => {
    expect(reason(text)).toContain('duplicate')
    expect(reason(`${text.slice(0, -1)},"padding":"${'x'.repeat(SPLICE_BYTES)}"}`)).toContain('duplicate')
  })

  it('leaves equal keys inside a payload to the last of them', () => {
    expect(decode('{"type":"invokefunction","function_id":"f","data":{"a":1,"a":2}}')?.payload).toEqual({
      value: { a: 2 },
    })
  })

  it('refuses what is nested too deeply, small or large', () => {
    const nested = (depth: number, padding = '') =>
      `{"type":"invokefunction","function_id":"f","data":${'['.repeat(depth)}${']'.repeat(depth)}${padding}}`
    const padding = `,"padding":"${'x'.repeat(SPLICE_BYTES)}"`
    expect(decode(nested(511))).toBeDefined()
    expect(decode(nested(511, padding))).toBeDefined()
    expect(reason(nested(512))).toContain('nested')
    expect(reason(nested(512, padding))).toContain('nested')
    expect(reason(nested(1_000_000))).toContain('nested')
  })

  it.each(['1e309', '-1E+0400', '9'.repeat(309), `${'9'.repeat(250)}e99`, `[{"a":0.1e${'0'.repeat(300)}310}]`])(
    'refuses a number that no double holds, small or large: %s',
    (number) => {
      const frame = (padding: string) => `{"type":"invokefunction","function_id":"f","data":[${number},"${padding}"]}`
      expect(reason(frame(''))).toContain('too large')
      expect(reason(frame('x'.repeat(SPLICE_BYTES)))).toContain('too large')
    },
  )

  it.each(['1.7e308', '1e-400', '0e999', '"1e400"', '9'.repeat(308), `0.${'9'.repeat(400)}`, `"${'9'.repeat(400)}"`])(
    'takes what looks like such a number and is none: %s',
    (text) => {
      const frame = (padding: string) => `{"type":"invokefunction","function_id":"f","data":[${text},"${padding}"]}`
      expect(decode(frame(''))).toBeDefined()
      expect(decode(frame('x'.repeat(SPLICE_BYTES)))).toBeDefined()
    },
  )

  it('refuses bytes that are not UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('{"type":"ping","x":"'), Buffer.from([0xff]), Buffer.from('"}')])
    expect(decodeFrame(bytes)).toBeUndefined()
  })

  it('gives a key called __proto__ no meaning', () => {
    for (const padding of ['', 'x'.repeat(SPLICE_BYTES)]) {
      const text = `{"type":"invokefunction","function_id":"f","__proto__":{"agent":"a","polluted":1},"padding":"${padding}"}`
      expect(decode(text)).toEqual({ frame: { type: 'invokefunction', function_id: 'f' } })
    }
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })
})
