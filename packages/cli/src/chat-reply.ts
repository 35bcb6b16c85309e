import { VisibleStream, visibleLine } from '@agentos/protocol'
import type { paint } from './output.ts'
import { Refusal } from './refusal.ts'
import type { ServerEvent } from './server-events.ts'
import { formatMicroUsd } from './trace-tree.ts'

/** What the `done` event of a chat carries, as far as a terminal shows it. */
export interface ChatResult {
  content?: string
  model?: string
  sessionId?: string
  agentId?: string
  /** There was no such agent before. */
  agentCreated?: boolean
  durationMs?: number
  usage?: { input: number; output: number }
  cost?: { microUsd: number | null }
  stopReason?: string
  /** What cut the answer off. */
  budget?: { message: string }
}

/** Shows the events of one streamed chat: text as it can be read, tools and the last line dimmed. */
export class ChatReply {
  private readonly write: (text: string) => void
  private readonly colour: typeof paint
  /** Id of its run, once the agent has said it. */
  run: string | undefined
  private agent: string | undefined
  private text = ''
  private readonly visible = new VisibleStream()
  private atLineStart = true
  private result: ChatResult | undefined

  constructor(write: (text: string) => void, colour: typeof paint) {
    this.write = write
    this.colour = colour
  }

  show({ event, data }: ServerEvent): void {
    const body = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>
    if (event === 'session') {
      this.run = String(body.runId)
      this.agent = String(body.agentId)
    }
    if (event === 'text' && typeof body.text === 'string') this.say(body.text)
    if (event === 'restart') this.aside('the model is asked again after a crash; its answer begins anew:')
    if (event === 'toolCall') this.aside(`→ ${String(body.id)} ${shorten(JSON.stringify(body.arguments ?? {}))}`)
    if (event === 'toolResult' && body.ok === false) this.aside(`← ${String(body.id)} failed: ${reasonOf(body.error)}`)
    if (event === 'done') this.result = body as ChatResult
    if (event === 'error') {
      this.newLine()
      if ((body.details as ChatResult | null | undefined)?.agentCreated) this.tellOfNew(this.agent)
      throw new Refusal(
        String(body.code ?? 'chat_failed'),
        String(body.title ?? 'The chat failed'),
        String(body.detail ?? ''),
      )
    }
  }

  /** The connection broke in the middle; the run went on without it, and came to this. */
  rejoin(result: ChatResult): void {
    this.aside('the connection broke; the run went on, and this is its answer:')
    this.text = ''
    this.result = result
  }

  /** The result, after a line that says which model it was and what it took. */
  finish(): ChatResult | undefined {
    const result = this.result
    // An agent that streamed nothing still answered something.
    if (result?.content && this.text === '') this.say(result.content)
    this.newLine()
    if (result?.agentCreated) this.tellOfNew(result.agentId)
    if (result?.budget) this.aside(`${result.stopReason}: ${result.budget.message}`)
    if (result) this.aside(facts(result))
    return result
  }

  private say(text: string): void {
    this.text += text
    this.put(this.visible.push(text))
  }

  private put(shown: string): void {
    if (shown === '') return
    this.write(shown)
    this.atLineStart = shown.endsWith('\n')
  }

  private tellOfNew(agent: string | undefined): void {
    this.aside(`a new agent was made: ${agent}`)
  }

  private aside(text: string): void {
    this.newLine()
    this.write(`${this.colour('dim', visibleLine(text))}\n`)
  }

  private newLine(): void {
    this.put(this.visible.end())
    if (!this.atLineStart) this.write('\n')
    this.atLineStart = true
  }
}

function facts({ model, durationMs, usage, cost, stopReason, sessionId }: ChatResult): string {
  return [
    model,
    durationMs === undefined ? undefined : `${Math.round(durationMs)} ms`,
    usage && `${usage.input} → ${usage.output} tokens`,
    typeof cost?.microUsd === 'number' ? formatMicroUsd(cost.microUsd) : undefined,
    stopReason && !['stop', 'end_turn'].includes(stopReason) ? `stopped: ${stopReason}` : undefined,
    sessionId,
  ]
    .filter(Boolean)
    .join(' · ')
}

function reasonOf(error: unknown): string {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  return shorten(`${String(code)}: ${String(message)}`)
}

const shorten = (text: string): string => (text.length > 100 ? `${text.slice(0, 99)}…` : text)
