import { isUtf8 } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeFrame, SPLICE_BYTES } from './decode.ts'
import { encodeInvoke } from './encode.ts'
import { payloadValue } from './payload.ts'
import { countKeys, isTooDeep, MAX_DEPTH, scanObject } from './scan.ts'

/** What `JSON.parse` sees: its value where it is an object, else nothing. */
function parsed(bytes: Buffer): Record<string, unknown> | undefined {
  if (!isUtf8(bytes)) return undefined
  try {
    const value = JSON.parse(bytes.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** The scan accepts exactly what `JSON.parse` accepts, duplicates and depth apart, and cuts out the same values. */
function agree(bytes: Buffer): void {
  const expected = parsed(bytes)
  const entries = scanObject(bytes)
  if (typeof entries === 'string') {
    if (expected !== undefined) expect(entries).toMatch(/^(duplicate key|nested over|a number that is too large)/)
    return
  }
  expect(expected).toBeDefined()
  expect(entries.map((entry) => entry.key).toSorted()).toEqual(Object.keys(expected!).toSorted())
  for (const { key, start, end } of entries) {
    expect(JSON.parse(bytes.toString('utf8', start, end))).toEqual(expected![key])
  }
  expect(countKeys(bytes)).toBe(entries.length)
}

const json = fc.jsonValue({ maxDepth: 6, stringUnit: 'binary' })
const object = fc.dictionary(fc.string({ unit: 'binary', maxLength: 60 }), json, { maxKeys: 8 })
/** Printed in three ways, so that white space and escapes occur. */
const text = fc.tuple(object, fc.constantFrom(undefined, 1, '\t'), fc.boolean()).map(([value, indent, escaped]) => {
  const printed = JSON.stringify(value, null, indent)
  return escaped
    ? printed.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    : printed
})

describe('the scan against JSON.parse', () => {
  it('agrees on objects of every kind', () => {
    fc.assert(
      fc.property(text, (value) => agree(Buffer.from(value))),
      { numRuns: 2000 },
    )
  })

  it('agrees on objects with bytes changed, lost, doubled or put in', () => {
    const change = fc.record({
      kind: fc.constantFrom('set', 'drop', 'insert', 'repeat', 'cut'),
      at: fc.nat(),
      byte: fc.oneof(fc.constantFrom(...Buffer.from('{}[],:"\\/0-+.eEunltfrbs \n\t\x00\x1f\x7f')), fc.nat(255)),
    })
    const bytes = fc.tuple(text, fc.array(change, { minLength: 1, maxLength: 4 })).map(([value, changes]) => {
      let bytes = Buffer.from(value)
      for (const { kind, at, byte } of changes) {
        const place = at % (bytes.length + 1)
        const before = bytes.subarray(0, place)
        const after = bytes.subarray(place)
        if (kind === 'set') bytes = Buffer.concat([before, Buffer.from([byte]), after.subarray(1)])
        if (kind === 'drop') bytes = Buffer.concat([before, after.subarray(1)])
        if (kind === 'insert') bytes = Buffer.concat([before, Buffer.from([byte]), after])
        if (kind === 'repeat') bytes = Buffer.concat([before, before, after])
        if (kind === 'cut') bytes = before
      }
      return bytes
    })
    fc.assert(fc.property(bytes, agree), { numRuns: 5000 })
  })

  it('agrees on random bytes and on random pieces of JSON', () => {
    const pieces = fc
      .array(
        fc.constantFrom(
          ...[
            '{',
            '}',
            '[',
            ']',
            ',',
            ':',
            '"',
            '"a"',
            '"a":',
            '\\',
            '\\u00',
            '\\ud83d',
            '\\n',
            '0',
            '-',
            '-0',
            '1',
            '01',
            '.',
            '.5',
          ],
          ...[
            '1e',
            '1E+5',
            '1.',
            '1e999',
            'true',
            'tru',
            'null',
            'false',
            'NaN',
            ' ',
            '\n',
            '\ufeff',
            '\u2028',
            "'",
            '//',
            '{"a":1}',
            '[]',
          ],
        ),
        { maxLength: 14 },
      )
      .map((parts) => Buffer.from(parts.join('')))
    fc.assert(fc.property(pieces, agree), { numRuns: 5000 })
    fc.assert(
      fc.property(pieces, (value) => agree(Buffer.concat([Buffer.from('{"k":'), value, Buffer.from('}')]))),
      { numRuns: 5000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (value) => agree(Buffer.from(value))),
      { numRuns: 2000 },
    )
  })

  it('agrees on long texts whatever ends them, at every alignment', () => {
    for (const special of ['', '\\n', '\\"', '\\\\', '\x1f', '\x00', 'é', '\\u12', '\\ud800', '"', '\x7f', '\u00a0']) {
      for (let length = 28; length < 48; length++) {
        for (const shift of ['', 'a', 'ab', 'abc']) {
          agree(Buffer.from(`{"${shift}":"${'x'.repeat(length)}${special}${'y'.repeat(length)}"}`))
          agree(Buffer.from(`{"${shift}":"${'x'.repeat(length)}${special}`))
        }
      }
    }
  })

  it('takes nesting up to the limit and no further', () => {
    for (const [open, close, inner] of [
      ['[', ']', ''],
      ['{"a":', '}', '1'],
    ] as const) {
      const nested = (depth: number) => Buffer.from(`{"k":${open.repeat(depth)}${inner}${close.repeat(depth)}}`)
      expect(scanObject(nested(MAX_DEPTH - 1))).toBeInstanceOf(Array)
      expect(scanObject(nested(MAX_DEPTH))).toContain('nested')
      expect(countKeys(nested(MAX_DEPTH - 1))).toBe(1)
      expect(countKeys(nested(MAX_DEPTH))).toBe(-1)
    }
  })
})

describe('what is routed and what is executed', () => {
  it('is the same for spliced and for printed payloads', () => {
    const ID = '11111111-1111-4111-8111-111111111111'
    fc.assert(
      fc.property(text, fc.boolean(), (data, named) => {
        const call = `{"data": ${data} ,"type":"invokefunction","function_id":"f"`
        const small = decodeFrame(Buffer.from(`${call}}`))
        const spliced = decodeFrame(Buffer.from(`${call},"padding":"${'x'.repeat(SPLICE_BYTES)}"}`))
        expect(spliced?.frame).toEqual(small?.frame)
        expect(spliced?.payload).toHaveProperty('json')
        expect(payloadValue(spliced?.payload)).toEqual(JSON.parse(data))
        const caller = named ? ['caller'] : []
        const head = { invocation_id: ID, function_id: 'f' }
        const fromSmall = encodeInvoke(head, small!.payload, ...caller).toString()
        const fromBytes = encodeInvoke(head, spliced!.payload, ...caller).toString()
        expect(JSON.parse(fromBytes)).toEqual(JSON.parse(fromSmall))
        expect(JSON.parse(fromBytes)).toEqual({
          type: 'invokefunction',
          ...head,
          data: { ...JSON.parse(data), ...(named ? { _caller_worker_id: 'caller' } : {}) },
        })
      }),
      { numRuns: 1000 },
    )
  })
})

describe('the depth of a text', () => {
  const nested = (depth: number, open: string, inner: string, close: string) =>
    `${open.repeat(depth)}${inner}${close.repeat(depth)}`

  it.each([
    ['[', '0', ']'],
    ['{"a":', '{}', '}'],
    ['[{"a":', '[]', '}]'],
    [' [\n', '"x"', ' ] '],
  ])('is told at the limit, as text and as bytes: %s', (open, inner, close) => {
    const levels = (open.match(/[[{]/g) ?? []).length
    const most = Math.floor((MAX_DEPTH - (/[[{]/.test(inner) ? 1 : 0)) / levels)
    for (const [depth, tooDeep] of [
      [most, false],
      [most + 1, true],
    ] as const) {
      const text = nested(depth, open, inner, close)
      expect([isTooDeep(text), isTooDeep(Buffer.from(text))]).toEqual([tooDeep, tooDeep])
    }
  })

  it('counts no brackets within texts, and needs no text that is whole', () => {
    expect(isTooDeep(JSON.stringify(['['.repeat(2_000), '\\"'.repeat(500), '{'.repeat(2_000)]))).toBe(false)
    expect(isTooDeep('['.repeat(2_000_000))).toBe(true)
    expect(isTooDeep(`"${'['.repeat(2_000)}`)).toBe(false)
  })
})
