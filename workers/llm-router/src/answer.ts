import type { Exhausted } from '@agentos/contracts/ledger'
import type { Part, StopReason, StreamFrame, ToolCallPart, Usage } from '@agentos/contracts/llm-router'
import { argumentsTextOf } from '@agentos/contracts/message'
import { newCallId, unusedCallId } from './call-ids.ts'
import { type Counts, countsOf, inputCount, merged, usageOf } from './counts.ts'
import { estimateOutput } from './estimate.ts'
import { stopReasonOf } from './formats/stop-reasons.ts'
import type { ToolNames } from './tool-names.ts'

/** Stands for the id of a call that has no name. */
const UNNAMED = 'unnamed'

/** Reasons to stop that come in the middle of what a model meant to say. */
const CUT_OFF = new Set<StopReason>(['length', 'content_filter', 'interrupted'])

/** A model's answer in neutral form. */
export interface Answer {
  parts: Part[]
  stopReason: StopReason
  /** The provider's own word, where the reason does not say as much. */
  stopDetail?: string
  usage: Usage
  /** Cut off here, since no money for more of it could be had. */
  cut?: true
  /** The budget that ended it, where `stopReason` is `budget_exceeded`. */
  budget?: Exhausted
}

export interface ReasoningEnd {
  signature?: string
  origin: string
  redacted?: boolean
}

/** What of the request has to be known to put its answer together. */
export interface AnswerContext {
  /** Ids of the functions that the model may call. */
  offered: ReadonlySet<string>
  /** Call ids of the conversation. */
  used: Iterable<string>
  /** Tokens of the input, for providers that do not count them. */
  inputEstimate: () => number
  /** Hears what the provider counted of the input, as soon as it says so. */
  onInput?: ((tokens: number) => void) | undefined
}

/** Puts an answer together from whole pieces or deltas, and tells `emit` of each as it comes. */
export class AnswerBuilder {
  private readonly names: ToolNames
  private readonly offered: ReadonlySet<string>
  /** Call ids of the conversation so far and of this answer. */
  private readonly used: Set<string>
  private readonly emit: (frame: StreamFrame) => void
  private readonly parts: Part[] = []
  /** From the first call on that is none where the answer turns out to be cut off. */
  private readonly held: StreamFrame[] = []
  private openPart: 'text' | 'reasoning' | undefined
  private stopReason: StopReason = 'stop'
  private stopDetail: string | undefined
  private counts: Counts = {}
  private readonly inputEstimate: () => number
  private readonly onInput: ((tokens: number) => void) | undefined

  constructor(
    names: ToolNames,
    { offered, used, inputEstimate, onInput }: AnswerContext,
    emit: (frame: StreamFrame) => void = () => {},
  ) {
    this.names = names
    this.offered = offered
    this.used = new Set(used)
    this.inputEstimate = inputEstimate
    this.onInput = onInput
    this.emit = emit
  }

  text(text: string): void {
    if (text === '') return
    const last = this.parts.at(-1)
    if (this.openPart === 'text' && last?.type === 'text') last.text += text
    else this.parts.push({ type: 'text', text })
    this.openPart = 'text'
    this.tell({ type: 'text', text })
  }

  reasoning(text: string): void {
    if (text === '') return
    const last = this.parts.at(-1)
    if (this.openPart === 'reasoning' && last?.type === 'reasoning') last.text += text
    else this.parts.push({ type: 'reasoning', text })
    this.openPart = 'reasoning'
    this.tell({ type: 'reasoning', text })
  }

  /** Ends the reasoning that is open, or adds one without text. */
  endReasoning({ signature, origin, redacted }: ReasoningEnd): void {
    let last = this.parts.at(-1)
    if (this.openPart !== 'reasoning' || last?.type !== 'reasoning') {
      if (signature === undefined) return
      last = { type: 'reasoning', text: '' }
      this.parts.push(last)
    }
    last.origin = origin
    if (signature !== undefined) last.signature = signature
    if (redacted) last.redacted = true
    this.openPart = undefined
  }

  /**
   * `args` is JSON text, or an object, whose numbers are best kept by `parseExact`; what is neither, and a name that is none,
   * is reported in the call's `problem`. Where the answer was cut off, such a call, or one without arguments, is none. An id that is none, or that another call has, is replaced: each result has to find its call.
   */
  toolCall(givenId: unknown, name: unknown, args: unknown, signature?: string): void {
    const isNamed = typeof name === 'string' && name !== ''
    const id = isNamed ? this.names.id(name) : UNNAMED
    const callId = typeof givenId === 'string' && givenId !== '' ? unusedCallId(givenId, this.used) : newCallId()
    this.used.add(callId)
    const part: ToolCallPart = { type: 'toolCall', callId, id, arguments: {} }
    const text = typeof args === 'string' ? args : JSON.stringify(args ?? {})
    const parsed = parseObject(text)
    if (isObject(parsed)) part.arguments = parsed
    else {
      part.problem = {
        code: 'invalid_json',
        message: `The arguments of ${id} are not a JSON object; send one that follows its schema.`,
        raw: text.slice(0, 2_000),
      }
    }
    const written = argumentsTextOf(text, part.arguments)
    if (written !== undefined) part.argumentsText = written
    if (!part.problem && !(isNamed && this.offered.has(id))) {
      const message = isNamed
        ? `There is no function ${id}; call one of those that were offered.`
        : 'The call names no function; call one of those that were offered, by its name.'
      part.problem = { code: 'unknown_tool', message, raw: text.slice(0, 2_000) }
    }
    if (signature !== undefined) part.signature = signature
    this.parts.push(part)
    this.openPart = undefined
    if (isWhole(part)) this.tell(part)
    else this.held.push(part)
  }

  get isEmpty(): boolean {
    return this.parts.length === 0
  }

  /** The usage in the provider's names, or a piece of it. */
  counted(usage: unknown): void {
    this.counts = merged(this.counts, countsOf(usage))
    const input = inputCount(this.counts)
    if (input !== undefined) this.onInput?.(input)
  }

  /** The provider's word for why the model stopped; with none, an answer that is whole came to its end. */
  stopped(word: unknown, detail?: string): void {
    if (typeof word !== 'string' || word === '') return
    this.stopReason = stopReasonOf(word)
    const says = this.stopReason === 'other' || this.stopReason === 'interrupted'
    this.stopDetail = says ? [word, detail].filter(Boolean).join(': ').slice(0, 500) : undefined
  }

  finish(): Answer {
    const { counts, inputEstimate, stopReason, stopDetail } = this
    const isKept = (part: Part | StreamFrame) => !CUT_OFF.has(stopReason) || part.type !== 'toolCall' || isWhole(part)
    const parts = this.parts.filter(isKept)
    for (const frame of this.held.splice(0)) if (isKept(frame)) this.emit(frame)
    const called = parts.some((part) => part.type === 'toolCall')
    // Some say `stop` where they call, and some speak of calls where there are none.
    const isCall = stopReason === 'stop' || stopReason === 'tool_calls'
    return {
      parts,
      stopReason: isCall ? (called ? 'tool_calls' : 'stop') : stopReason,
      ...(stopDetail === undefined ? {} : { stopDetail }),
      // What is no call was written all the same.
      usage: usageOf(counts, { input: inputEstimate, output: estimateOutput(this.parts) }),
    }
  }

  private tell(frame: StreamFrame): void {
    if (this.held.length > 0) this.held.push(frame)
    else this.emit(frame)
  }
}

/** Whether all of its arguments have surely come: what is empty may not have begun. */
function isWhole({ arguments: args, problem }: ToolCallPart): boolean {
  return problem?.code !== 'invalid_json' && Object.keys(args).length > 0
}

/** Models that call a function without arguments often send none at all. */
function parseObject(text: string): unknown {
  if (text.trim() === '') return {}
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The objects of a list: some servers leave null in the place of what they have taken back. */
export function objectsOf<T extends object>(list: readonly T[] | null | undefined): T[] {
  return (list ?? []).filter((one) => isObject(one))
}
