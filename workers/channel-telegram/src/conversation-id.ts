/** A chat, or a topic of one. */
export interface Place {
  chatId: number
  threadId: number | undefined
}

/** `<chat id>`, or `<chat id>/<thread id>`. */
export function conversationOf(chatId: number, threadId: number | undefined): string {
  return threadId === undefined ? String(chatId) : `${chatId}/${threadId}`
}

export function parseConversation(conversation: string): Place {
  const [chat, thread] = conversation.split('/')
  return { chatId: Number(chat), threadId: thread === undefined ? undefined : Number(thread) }
}

/** Groups have negative ids. */
export function isGroup(conversation: string): boolean {
  return conversation.startsWith('-')
}
