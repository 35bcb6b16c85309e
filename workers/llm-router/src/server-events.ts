import { StringDecoder } from 'node:string_decoder'

export interface ServerEvent {
  /** '' where the stream names none. */
  event: string
  data: string
}

/** A line above the bound; nothing that a provider means to send is that long. */
export class LineTooLong extends Error {}

/** Longest line, in UTF-16 units. */
export const MAX_LINE = 4 * 1024 * 1024

/**
 * Reads server-sent events out of chunks cut anywhere, also within a character or a line end. Data lines of one event
 * are joined by a line break; comments and fields that are not used are dropped.
 */
export class ServerEventReader {
  private readonly decoder = new StringDecoder('utf8')
  private readonly maxLine: number
  private rest = ''
  private event = ''
  private data: string[] = []
  private size = 0

  constructor(maxLine = MAX_LINE) {
    this.maxLine = maxLine
  }

  push(chunk: Buffer): ServerEvent[] {
    return this.lines(this.decoder.write(chunk), false)
  }

  /** What stood before the end of the stream without the empty line that closes an event. */
  end(): ServerEvent[] {
    const events = this.lines(this.decoder.end(), true)
    const last = this.close()
    return last ? [...events, last] : events
  }

  private lines(text: string, atEnd: boolean): ServerEvent[] {
    const events: ServerEvent[] = []
    // A long line comes in many chunks; only the new part can hold its end.
    const lines = text.includes('\n') || text.includes('\r') || atEnd ? (this.rest + text).split('\n') : undefined
    if (!lines) {
      this.rest += text
      if (this.rest.length > this.maxLine) throw new LineTooLong(`a line is longer than ${this.maxLine} characters`)
      return events
    }
    this.rest = atEnd ? '' : lines.pop()!
    for (const line of lines) {
      if (line.length > this.maxLine) throw new LineTooLong(`a line is longer than ${this.maxLine} characters`)
      const event = this.line(line.endsWith('\r') ? line.slice(0, -1) : line)
      if (event) events.push(event)
    }
    return events
  }

  private line(line: string): ServerEvent | undefined {
    if (line === '') return this.close()
    const colon = line.indexOf(':')
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (field === 'event') this.event = value
    if (field === 'data') {
      this.data.push(value)
      this.size += value.length
      if (this.size > this.maxLine) throw new LineTooLong(`an event is longer than ${this.maxLine} characters`)
    }
    return undefined
  }

  private close(): ServerEvent | undefined {
    const { event, data } = this
    this.event = ''
    this.data = []
    this.size = 0
    return data.length === 0 ? undefined : { event, data: data.join('\n') }
  }
}
