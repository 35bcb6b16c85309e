/** One server-sent event; its data are always JSON here. */
export interface ServerEvent {
  event: string
  data: unknown
}

/** Takes `text/event-stream` (WHATWG HTML, 9.2.6) in whatever pieces it comes; an event is there at its empty line. */
export class EventParser {
  private rest = ''
  private event = 'message'
  private data: string[] = []

  push(text: string): ServerEvent[] {
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/)
    this.rest = lines.pop() ?? ''
    return lines.flatMap((line) => this.line(line))
  }

  private line(line: string): ServerEvent[] {
    if (line === '') return this.dispatch()
    const colon = line.indexOf(':')
    // A line that begins with the colon is a comment: the heartbeat.
    if (colon === 0) return []
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (field === 'event') this.event = value
    if (field === 'data') this.data.push(value)
    return []
  }

  private dispatch(): ServerEvent[] {
    const { event, data } = this
    this.event = 'message'
    this.data = []
    return data.length === 0 ? [] : [{ event, data: JSON.parse(data.join('\n')) }]
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
