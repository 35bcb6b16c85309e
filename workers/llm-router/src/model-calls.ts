import { hash } from 'node:crypto'
import type { Completion, CompletionInput, StreamFrame } from '@agentos/contracts/llm-router'
import { type KeyedCall, placeOf } from '@agentos/keyed'
import { AgentError, type ChannelWriter, canonicalJson, type HandlerContext } from '@agentos/sdk'
import { cancelled } from './provider-client.ts'

/** How long, and how many of them and how many bytes, answers are kept for those who ask again. */
const KEPT_MS = 60_000
const MOST_KEPT = 100
const MOST_BYTES = 8_000_000

type Asking = KeyedCall &
  Pick<HandlerContext, 'caller' | 'log' | 'remainingMs' | 'repeated' | 'run' | 'session' | 'signal' | 'span' | 'state'>
type Writer = Pick<ChannelWriter, 'send'>

/** One who waits for the answer of a model. */
interface Caller {
  ctx: Asking
  /** Where the pieces of the answer go. */
  writer: Writer | undefined
  /** How many of them are sent. */
  sent: number
  sending: Promise<void> | undefined
  left: Promise<void>
}

interface Kept {
  input: string
  completion: Completion
  bytes: number
  until: number
}

/**
 * The model calls of this process. Where one comes again under its idempotency key while the first is under way, as it
 * does when its caller died and came back, both get the same answer; so does one that comes shortly after it.
 */
export class ModelCalls {
  private readonly running = new Map<string, ModelCall>()
  /** Oldest first. */
  private readonly kept = new Map<string, Kept>()
  private bytes = 0
  private readonly now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.now = now
  }

  async ask(
    ctx: Asking,
    input: CompletionInput,
    writer: Writer | undefined,
    answer: (call: ModelCall) => Promise<Completion>,
  ): Promise<Completion> {
    if (ctx.repeated) await writer?.send({ type: 'restart' }).catch(() => {})
    const name = callName(ctx)
    if (name === undefined) return new ModelCall(undefined, undefined, writer !== undefined).join(ctx, writer, answer)
    const inputHash = hash('sha256', canonicalJson(input))
    this.forget()
    const kept = this.kept.get(name)
    const running = this.running.get(name)
    if ((kept ?? running ?? { input: inputHash }).input !== inputHash) {
      throw new AgentError('key_reused', 'This idempotency key stands for another request; use a new one')
    }
    if (kept) {
      if (writer) for (const frame of framesOf(kept.completion)) await writer.send(frame).catch(() => {})
      return kept.completion
    }
    // One that everybody has left is being ended.
    if (running && !running.signal.aborted) return running.join(ctx, writer, answer)
    const call = new ModelCall(name, inputHash, writer !== undefined)
    this.running.set(name, call)
    return call.join(ctx, writer, async (shared) => {
      try {
        const completion = await answer(shared)
        this.keep(name, inputHash, completion)
        return completion
      } finally {
        if (this.running.get(name) === call) this.running.delete(name)
      }
    })
  }

  private keep(name: string, input: string, completion: Completion): void {
    const bytes = JSON.stringify(completion).length
    if (bytes > MOST_BYTES) return
    this.kept.set(name, { input, completion, bytes, until: this.now() + KEPT_MS })
    this.bytes += bytes
    this.forget()
  }

  private forget(): void {
    const now = this.now()
    for (const [name, { bytes, until }] of this.kept) {
      if (until > now && this.kept.size <= MOST_KEPT && this.bytes <= MOST_BYTES) return
      this.kept.delete(name)
      this.bytes -= bytes
    }
  }
}

/** One request for an answer, and all who wait for it. It ends when the last of them is gone. */
export class ModelCall {
  /** Names the call for the ledger, the same when it is made again; undefined without an idempotency key. */
  readonly name: string | undefined
  readonly input: string | undefined
  /** Whether the answer is asked for in pieces. */
  readonly streaming: boolean
  private readonly controller = new AbortController()
  private readonly callers = new Set<Caller>()
  private readonly frames: StreamFrame[] = []
  private result: Promise<Completion> | undefined
  private last: Asking | undefined

  constructor(name: string | undefined, input: string | undefined, streaming: boolean) {
    this.name = name
    this.input = input
    this.streaming = streaming
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  /** The context of one who is still there. */
  get ctx(): Asking {
    const [caller] = this.callers
    if (caller) this.last = caller.ctx
    return this.last!
  }

  /** Of the caller who can wait longest. */
  remainingMs(): number | undefined {
    let most = 0
    for (const { ctx } of this.callers) {
      const left = ctx.remainingMs()
      if (left === undefined) return undefined
      most = Math.max(most, left)
    }
    return most
  }

  /** Resolves when everybody who listens has taken it. */
  readonly emit = async (frame: StreamFrame): Promise<void> => {
    this.frames.push(frame)
    await Promise.all([...this.callers].map((caller) => this.catchUp(caller)))
  }

  /** Waits for the answer, which the first who comes asks for. */
  async join(
    ctx: Asking,
    writer: Writer | undefined,
    answer: (call: ModelCall) => Promise<Completion>,
  ): Promise<Completion> {
    if (ctx.signal.aborted) throw cancelled(ctx.signal)
    const gone = Promise.withResolvers<void>()
    const caller: Caller = { ctx, writer, sent: 0, sending: undefined, left: gone.promise }
    this.callers.add(caller)
    this.last = ctx
    const leave = () => {
      gone.resolve()
      this.callers.delete(caller)
      if (this.callers.size === 0) this.controller.abort(ctx.signal.reason)
    }
    ctx.signal.addEventListener('abort', leave, { once: true })
    try {
      this.result ??= answer(this)
      const completion = await Promise.race([this.result, gone.promise])
      if (!completion) throw cancelled(ctx.signal)
      await this.catchUp(caller)
      for (const frame of framesOf(completion, this.streaming)) await this.send(caller, frame)
      return completion
    } finally {
      ctx.signal.removeEventListener('abort', leave)
      this.callers.delete(caller)
      gone.resolve()
      // Where this one does not wait for it any more, somebody else does, or nobody.
      this.result?.catch(() => {})
    }
  }

  /** In order for each caller, from the first piece on for one who came later. */
  private async catchUp(caller: Caller): Promise<void> {
    if (!caller.writer) return
    while (caller.sent < this.frames.length) {
      caller.sending ??= this.send(caller, this.frames[caller.sent++]!).finally(() => {
        caller.sending = undefined
      })
      await caller.sending
    }
    await caller.sending
  }

  /** Who listens may leave; the answer is still wanted by the caller, who cancels where it is not. */
  private async send(caller: Caller, frame: StreamFrame): Promise<void> {
    const sent = caller.writer?.send(frame).catch(() => {
      caller.writer = undefined
    })
    await Promise.race([sent, caller.left])
  }
}

function callName(ctx: Asking): string | undefined {
  const place = placeOf(ctx)
  return place && `${ctx.realm}/${place}`
}

/** What is sent at the end: the usage, and all of the answer where it did not come in pieces. */
function framesOf({ parts, usage }: Completion, isStreamed = false): StreamFrame[] {
  const whole = parts.flatMap((part) =>
    part.type === 'text' || part.type === 'reasoning' || part.type === 'toolCall' ? [part] : [],
  )
  return [...(isStreamed ? [] : whole), { type: 'usage', usage }]
}
