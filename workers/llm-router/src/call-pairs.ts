import type { Part, ToolCallPart, ToolResultPart } from '@agentos/contracts/llm-router'
import { unusedCallId } from './call-ids.ts'

interface OpenCall {
  /** As the history has it. */
  given: string
  /** As no other call of the conversation has it. */
  callId: string
  result: ToolResultPart | undefined
}

/**
 * Pairs the calls of a conversation with their results. Servers repeat ids, within an answer and from one to the next,
 * and every provider refuses that: each call gets an id that no other has, and so does the result that stands in its place.
 */
export class CallPairs {
  private readonly used = new Set<string>()
  private calls: OpenCall[] = []

  /** The parts of an assistant's message, with their calls waiting for results from here on. */
  open(parts: readonly Part[]): Part[] {
    return parts.map((part) => (part.type === 'toolCall' ? this.opened(part) : part))
  }

  /** False where no call waits for this result. */
  answer(result: ToolResultPart): boolean {
    const call = this.calls.find(({ given, result: had }) => given === result.callId && !had)
    if (!call) return false
    call.result = { ...result, callId: call.callId }
    return true
  }

  /** The calls that wait, by the ids that the history has for them. */
  get waiting(): string[] {
    return this.calls.flatMap(({ given, result }) => (result ? [] : [given]))
  }

  /** Once none waits: all results in the order of their calls, which is how Gemini tells them apart. */
  take(): ToolResultPart[] {
    const results = this.calls.flatMap(({ result }) => (result ? [result] : []))
    this.calls = []
    return results
  }

  private opened(part: ToolCallPart): ToolCallPart {
    const callId = unusedCallId(part.callId, this.used)
    this.used.add(callId)
    this.calls.push({ given: part.callId, callId, result: undefined })
    return { ...part, callId }
  }
}
