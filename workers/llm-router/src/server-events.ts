import { StringDecoder } from 'node:string_decoder'
import { createParser, type EventSourceParser } from 'eventsource-parser'

export interface ServerEvent {
  /** '' where the stream names none. */
  event: string
  data: string
}

/** A line above the bound; nothing that a provider means to send is that long. */
export class LineTooLong extends Error {}

/** Longest event, in UTF-16 units. */
export const MAX_EVENT = 4 * 1024 * 1024

/** Reads server-sent events out of chunks cut anywhere, also within a character or a line end. */
export class ServerEventReader {
  private readonly decoder = new StringDecoder('utf8')
  private readonly parser: EventSourceParser
  private readonly maxEvent: number
  private events: ServerEvent[] = []
  private isTooLong = false

  constructor(maxEvent = MAX_EVENT) {
    this.maxEvent = maxEvent
    this.parser = createParser({
      maxBufferSize: maxEvent,
      onEvent: ({ event = '', data }) => {
        if (data.length > maxEvent) this.isTooLong = true
        if (!this.isTooLong) this.events.push({ event, data })
      },
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') this.isTooLong = true
      },
    })
  }

  push(chunk: Buffer): ServerEvent[] {
    return this.feed(this.decoder.write(chunk))
  }

  /** What stood before the end of the stream without the empty line that closes an event. */
  end(): ServerEvent[] {
    return this.feed(`${this.decoder.end()}\n\n`)
  }

  /** What came before a line that is too long is given first; then nothing is read any more. */
  private feed(text: string): ServerEvent[] {
    if (!this.isTooLong) this.parser.feed(text)
    const events = this.events.splice(0)
    if (this.isTooLong && events.length === 0) {
      throw new LineTooLong(`an event is longer than ${this.maxEvent} characters`)
    }
    return events
  }
}
