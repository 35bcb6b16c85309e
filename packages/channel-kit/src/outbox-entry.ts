import type { RichText } from './rich-text.ts'

/** What a press does. `settle` answers the question whether a message in doubt arrived. */
export type ButtonAction =
  | { kind: 'decide'; requestId: string; decision: 'approve' | 'deny' }
  | { kind: 'settle'; entryId: string; as: Resolution }

export interface Button {
  label: string
  action: ButtonAction
}

/** How somebody settles a message in doubt: it is sent again, or counts as sent. */
export type Resolution = 'resend' | 'received'

/** What a message shows. A press names its entry and the number of the button: what it does is looked up here. */
export interface Content {
  rich: RichText
  buttons?: Button[]
  /** The service's id of the message that this one answers. */
  replyTo?: string
}

/**
 * `pending`: not sent. `sending`: written before the request goes out. `sent`: confirmed. `failed`: refused for good.
 * `in_doubt`: the request went out and nobody knows whether it took effect; it is not sent again by itself.
 */
export type EntryState = 'pending' | 'sending' | 'sent' | 'failed' | 'in_doubt'

/** One message on its way out. Times are epoch milliseconds. */
export interface OutboxEntry {
  id: string
  conversation: string
  /** Messages of a conversation go out by this number, ascending. */
  order: number
  content: Content
  state: EntryState
  /** The service's id, once it is sent. */
  messageId: string | null
  /** What it shows is not `content` any more: an edit is due. */
  stale: boolean
  /** False while an answer is still being written into it. */
  final: boolean
  /** Why it failed, waits or is in doubt. */
  reason: string | null
  createdAt: number
  updatedAt: number
}

/** The entry of the question about an entry in doubt. */
export function noticeId(entryId: string): string {
  return `n:${entryId}`
}

export function isNotice(entryId: string): boolean {
  return entryId.startsWith('n:')
}
