/** One server-sent event; `data` is parsed where it is JSON. */
export interface ServerEvent {
  event: string
  data: unknown
}

/** Reads `text/event-stream` (WHATWG HTML, 9.2.6): events are complete at the empty line, comments are skipped. */
export async function* parseEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder()
  let rest = ''
  let event = 'message'
  let data: string[] = []
  for await (const chunk of body) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r?\n/)
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0) yield { event, data: parseData(data.join('\n')) }
        event = 'message'
        data = []
        continue
      }
      const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? []
      if (field === 'event') event = value ?? ''
      if (field === 'data') data.push(value ?? '')
    }
  }
}

function parseData(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
