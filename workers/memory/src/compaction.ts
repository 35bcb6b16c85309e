import type { Message } from '@agentos/contracts/message'
import { textOf } from './transcript.ts'

/** How many of the oldest messages are summarised: never so that a tool's result stays without its call. */
export function cutPoint(messages: readonly Message[], keepRecent: number): number {
  let cut = Math.max(0, messages.length - keepRecent)
  while (cut > 0 && cut < messages.length && messages[cut]!.role === 'tool') cut--
  return cut
}

/** `role: text`, a blank line between; what the summary before says comes first. */
export function rendered(messages: readonly Message[], before?: string): string {
  const turns = messages.map((message) => `${message.role}: ${textOf(message)}`)
  return (before === undefined ? turns : [`earlier summary: ${before}`, ...turns]).join('\n\n')
}
