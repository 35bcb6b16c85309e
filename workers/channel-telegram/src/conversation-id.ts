/** A chat, or a topic of one. */
export interface Place {
  chatId: number
  threadId: number | undefined
}

/** The topic of a forum that its other messages are shown in. Telegram takes no message under this id. */
const GENERAL = 1

/** `<chat id>`, or `<chat id>/<thread id>`; General is the chat itself. */
export function conversationOf(chatId: number, threadId: number | undefined): string {
  return threadId === undefined || threadId === GENERAL ? String(chatId) : `${chatId}/${threadId}`
}

export function parseConversation(conversation: string): Place {
  const [chat, thread] = conversation.split('/')
  const threadId = thread === undefined || Number(thread) === GENERAL ? undefined : Number(thread)
  return { chatId: Number(chat), threadId }
}

/** The one name of a conversation, however somebody wrote it. */
export function sameConversation(conversation: string): string {
  const { chatId, threadId } = parseConversation(conversation)
  return conversationOf(chatId, threadId)
}

/** Groups have negative ids. */
export function isGroup(conversation: string): boolean {
  return conversation.startsWith('-')
}
