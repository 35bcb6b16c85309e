import { describe, expect, it } from 'vitest'
import { parseEvents, type ServerEvent } from './server-events.ts'

async function read(...chunks: string[]): Promise<ServerEvent[]> {
  async function* body() {
    for (const chunk of chunks) yield new TextEncoder().encode(chunk)
  }
  const events: ServerEvent[] = []
  for await (const event of parseEvents(body())) events.push(event)
  return events
}

describe('server-sent events', () => {
  it('are whole however the bytes arrive', async () => {
    expect(await read('event: te', 'xt\ndata: {"text":', '"hé"}\n', '\n')).toEqual([
      { event: 'text', data: { text: 'hé' } },
    ])
  })

  it('skip comments and join the lines of data', async () => {
    expect(await read(': ping\n\ndata: a\r\ndata: b\r\n\r\n')).toEqual([{ event: 'message', data: 'a\nb' }])
  })

  it('may end their lines with CR, begin with a byte order mark, and be empty', async () => {
    expect(await read('\uFEFFdata: 1\r', '\rdata:\r\rdata: 2\r\r', ': end\r')).toEqual([
      { event: 'message', data: 1 },
      { event: 'message', data: 2 },
    ])
  })

  it('that were cut off are not given', async () => {
    expect(await read('data: 1\n\ndata: 2')).toEqual([{ event: 'message', data: 1 }])
  })
})
