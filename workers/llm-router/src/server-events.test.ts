import { describe, expect, it } from 'vitest'
import { LineTooLong, ServerEventReader } from './server-events.ts'

function read(chunks: Iterable<Buffer>, reader = new ServerEventReader()) {
  const events = [...chunks].flatMap((chunk) => reader.push(chunk))
  return [...events, ...reader.end()]
}

describe('server-sent events', () => {
  const text =
    ': comment\r\nevent: a\r\ndata: Grüße 🌍\r\n\r\ndata:no blank\n\nid: 7\nretry: 10\ndata: one\ndata: two\n\n\n\nevent: none\n\n'
  const expected = [
    { event: 'a', data: 'Grüße 🌍' },
    { event: '', data: 'no blank' },
    { event: '', data: 'one\ntwo' },
  ]

  it('come out alike however the bytes are cut', () => {
    const bytes = Buffer.from(text)
    for (let size = 1; size <= bytes.length; size += 1) {
      const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      )
      expect(read(chunks)).toEqual(expected)
    }
  })

  it('keep the last event where the empty line behind it is missing', () => {
    expect(read([Buffer.from('data: [DONE]')])).toEqual([{ event: '', data: '[DONE]' }])
  })

  it('give what came before a line that is too long', () => {
    const reader = new ServerEventReader(100)
    expect(reader.push(Buffer.from(`data: before\n\ndata: ${'x'.repeat(200)}\n\n`))).toEqual([
      { event: '', data: 'before' },
    ])
    expect(() => reader.push(Buffer.from('data: behind\n\n'))).toThrow(LineTooLong)
  })

  it('come out alike behind a byte order mark, and with any end of line', () => {
    for (const end of ['\n', '\r', '\r\n']) {
      const bytes = Buffer.from(`\uFEFF${text.replaceAll('\r\n', '\n').replaceAll('\n', end)}`)
      for (const size of [1, 2, 7, bytes.length]) {
        const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
          bytes.subarray(i * size, (i + 1) * size),
        )
        expect(read(chunks), JSON.stringify([end, size])).toEqual(expected)
      }
    }
  })

  it('bound a line that does not end, one that does, and an event of many lines', () => {
    const reader = () => new ServerEventReader(100)
    expect(() => read([Buffer.from('data: '), ...Array(20).fill(Buffer.from('x'.repeat(10)))], reader())).toThrow(
      LineTooLong,
    )
    expect(() => read([Buffer.from(`data: ${'x'.repeat(200)}\n\n`)], reader())).toThrow(LineTooLong)
    expect(() => read(Array(20).fill(Buffer.from('data: xxxxxxxxxx\n')), reader())).toThrow(LineTooLong)
  })
})
