import { describe, expect, it } from 'vitest'
import { EventParser, readEvents } from './events.ts'

const STREAM = 'event: text\ndata: {"text":"17"}\n\n: keep-alive\n\nevent: done\ndata: {"content":"ä"}\n\n'
const EVENTS = [
  { event: 'text', data: { text: '17' } },
  { event: 'done', data: { content: 'ä' } },
]

describe('the event parser', () => {
  it('gives an event at its empty line and not before', () => {
    const parser = new EventParser()
    expect(parser.push('event: text\ndata: {"te')).toEqual([])
    expect(parser.push('xt":"17"}\n')).toEqual([])
    expect(parser.push('\n')).toEqual([EVENTS[0]])
  })

  it('gives the same events whatever the pieces and line ends are', () => {
    for (const end of ['\n', '\r\n', '\r']) {
      const text = `${STREAM.replaceAll('\n', end)}`
      for (let size = 1; size <= text.length; size += 1) {
        const parser = new EventParser()
        const events = []
        for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)))
        // A lone CR at the very end may be half of a CRLF.
        events.push(...parser.push(end === '\r' ? '\n' : ''))
        expect(events, `${JSON.stringify(end)} in pieces of ${size}`).toEqual(EVENTS)
      }
    }
  })

  it('skips comments and joins lines of data', () => {
    expect(new EventParser().push(': hello\ndata: [1,\ndata: 2]\n\n')).toEqual([{ event: 'message', data: [1, 2] }])
  })

  it('takes a byte order mark and empty events', () => {
    const parser = new EventParser()
    expect(parser.push('\uFEFFdata: 1\n\ndata:\n\ndata: 2\n\n').map(({ data }) => data)).toEqual([1, 2])
  })

  it('drops an event that was cut off', () => {
    expect(new EventParser().push('event: text\ndata: {"text":"half"}\n')).toEqual([])
  })
})

it('reads the events of a response whose letters are split between its pieces', async () => {
  const bytes = new TextEncoder().encode(STREAM)
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte))
      controller.close()
    },
  })
  const events = []
  for await (const event of readEvents(new Response(body))) events.push(event)
  expect(events).toEqual(EVENTS)
})
