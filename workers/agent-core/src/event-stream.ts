import type { Completion } from '@agentos/contracts/llm-router'
import type { ChannelRef, DurableContext } from '@agentos/sdk'

type StreamedPart = Extract<Completion['parts'][number], { type: 'text' | 'reasoning' | 'toolCall' }>

export type ChatEvent =
  | StreamedPart
  | { type: 'usage'; usage: Completion['usage'] }
  | { type: 'session'; sessionId: string; runId: string; agentId: string }
  | {
      type: 'toolResult'
      callId: string
      id: string
      ok: boolean
      durationMs: number
      error?: { code: string; message: string }
    }

/**
 * The agent's own events on the caller's channel; what an earlier process of this run has sent is not sent again, and a
 * reader that is gone keeps nobody from going on. The router writes its deltas and tool calls to the same channel, so
 * each writer is open only while it has something to say: what was sent is on the way before the other one begins.
 */
export class EventStream {
  private readonly ctx: DurableContext
  readonly ref: ChannelRef | undefined

  constructor(ctx: DurableContext, ref: ChannelRef | undefined) {
    this.ctx = ctx
    this.ref = ref
  }

  async send(...events: ChatEvent[]): Promise<void> {
    if (!this.ref || this.ctx.replaying || events.length === 0) return
    const writer = this.ctx.openWriter(this.ref)
    for (const event of events) writer.sendMessage(JSON.stringify(event))
    await writer.close()
  }

  /** What the router has told the first caller of this answer, for one who joined: whole, as it was recorded. */
  async retell({ parts, usage }: Completion): Promise<void> {
    if (!this.ctx.following) return
    await this.send(...parts.filter(isStreamed), { type: 'usage', usage })
  }
}

function isStreamed(part: Completion['parts'][number]): part is StreamedPart {
  return part.type === 'text' || part.type === 'reasoning' || part.type === 'toolCall'
}
