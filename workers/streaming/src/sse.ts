import type { ChannelWriter } from '@agentos/sdk'

const HEARTBEAT_MS = 15_000

export const SSE_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
}

/** Server-sent events on the response channel of a raw route; a comment every 15 s keeps proxies awake. */
export class SseResponse {
  private readonly writer: ChannelWriter
  private readonly gone = new AbortController()
  private heartbeat: NodeJS.Timeout | undefined
  private begun = false

  constructor(writer: ChannelWriter) {
    this.writer = writer
    writer.stream.on('close', () => this.gone.abort())
  }

  /** Aborted when the client has gone away. */
  get signal(): AbortSignal {
    return this.gone.signal
  }

  get started(): boolean {
    return this.begun
  }

  /** One `data:` event; waits while the client does not read. */
  async data(value: object | string): Promise<void> {
    await this.write(`data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`)
  }

  async end(): Promise<void> {
    clearInterval(this.heartbeat)
    await this.writer.close()
  }

  private async write(text: string): Promise<void> {
    if (this.gone.signal.aborted) return
    if (!this.begun) {
      this.begun = true
      await this.writer.sendMessage(JSON.stringify({ type: 'set_headers', headers: SSE_HEADERS }))
      this.heartbeat = setInterval(() => this.writer.stream.write(': still here\n\n'), HEARTBEAT_MS)
      this.heartbeat.unref()
    }
    if (!this.writer.stream.write(text)) {
      await new Promise<void>((resolve) => {
        this.writer.stream.once('drain', resolve)
        this.writer.stream.once('close', resolve)
      })
    }
  }
}
