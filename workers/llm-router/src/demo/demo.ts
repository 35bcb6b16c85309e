import type { CompletionInput, StreamFrame } from '@agentos/contracts/llm-router'
import { type Answer, AnswerBuilder } from '../answer.ts'
import { newCallId } from '../call-ids.ts'
import { conversationOf } from '../conversation.ts'
import { ToolNames } from '../tool-names.ts'
import { replyByRules } from './rules.ts'

/**
 * `demo/rules`: not a language model, and it says so. It goes through the same checks, the same tool calls and the same
 * stream as a model, word by word, so that a machine without any model still runs the whole way.
 */
export async function askDemo(
  input: CompletionInput,
  emit: (frame: StreamFrame) => Promise<void>,
  signal: AbortSignal,
): Promise<Answer> {
  conversationOf(input)
  const { text, calls } = replyByRules(input)
  const frames: StreamFrame[] = []
  // A function that the user names is called by its name; the agent's grants decide.
  const known = calls.map((call) => call.id)
  const names = new ToolNames(known)
  const builder = new AnswerBuilder(names, { offered: new Set(known), used: [], inputEstimate: () => 0 }, (frame) =>
    frames.push(frame),
  )
  const say = async (speak: () => void) => {
    signal.throwIfAborted()
    speak()
    for (const frame of frames.splice(0)) await emit(frame)
  }
  for (const word of text.match(/\s*\S+/g) ?? []) await say(() => builder.text(word))
  for (const call of calls) {
    await say(() => builder.toolCall(newCallId(), names.name(call.id), call.arguments))
  }
  builder.stopped('stop')
  // No model has read or written it.
  return { ...builder.finish(), usage: { input: 0, output: 0, total: 0 } }
}
