import { createParser } from 'eventsource-parser'

/** One server-sent event; its data are always JSON here. */
export interface ServerEvent {
  event: string
  data: unknown
}

/** Takes `text/event-stream` (WHATWG HTML, 9.2.6) in whatever pieces it comes; an event is there at its empty line. */
export class EventParser {
  private events: ServerEvent[] = []
  private readonly parser = createParser({
    onEvent: ({ event = 'message', data }) => {
      // Our own heartbeats are comments; those of what stands between may be empty events.
      if (data !== '') this.events.push({ event, data: JSON.parse(data) })
    },
  })

  push(text: string): ServerEvent[] {
    this.parser.feed(text)
    return this.events.splice(0)
  }
}

/** The events of a response, as they arrive. */
export async function* readEvents(response: Response): AsyncGenerator<ServerEvent> {
  if (!response.body) return
  const parser = new EventParser()
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield* parser.push(value)
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}
