import { createParser } from 'eventsource-parser'

/** One server-sent event; `data` is parsed where it is JSON. */
export interface ServerEvent {
  event: string
  data: unknown
}

/** Reads `text/event-stream` (WHATWG HTML, 9.2.6): events are complete at the empty line, comments and empty ones are skipped. */
export async function* parseEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder()
  const events: ServerEvent[] = []
  const parser = createParser({
    onEvent: ({ event = 'message', data }) => {
      if (data !== '') events.push({ event, data: parseData(data) })
    },
  })
  for await (const chunk of body) {
    parser.feed(decoder.decode(chunk, { stream: true }))
    yield* events.splice(0)
  }
}

function parseData(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
