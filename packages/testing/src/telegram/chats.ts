import type { Entity } from './html.ts'

export interface TelegramUser {
  id: number
  is_bot: boolean
  first_name: string
  username?: string
}

export interface TelegramChat {
  id: number
  type: 'private' | 'group' | 'supergroup' | 'channel'
  title?: string
}

export interface Button {
  text: string
  callback_data: string
}

/** A message of a chat, as the chat shows it now. */
export interface TelegramMessage {
  message_id: number
  from: TelegramUser
  chat: TelegramChat
  date: number
  text?: string
  entities?: Entity[]
  message_thread_id?: number
  reply_to_message?: object
  reply_markup?: { inline_keyboard: Button[][] }
  edit_date?: number
  [field: string]: unknown
}

/** Chats that the bot can reach, with what was written in each. */
export class Chats {
  private readonly chats = new Map<number, { chat: TelegramChat; messages: TelegramMessage[]; blocked: boolean }>()
  private nextMessage = 1

  add(chat: TelegramChat): void {
    if (!this.chats.has(chat.id)) this.chats.set(chat.id, { chat, messages: [], blocked: false })
  }

  find(id: number | string): { chat: TelegramChat; messages: TelegramMessage[]; blocked: boolean } | undefined {
    return this.chats.get(Number(id))
  }

  write(message: { from: TelegramUser; chat: TelegramChat; [field: string]: unknown }): TelegramMessage {
    const written = { message_id: this.nextMessage, date: Math.floor(Date.now() / 1_000), ...message }
    this.nextMessage += 1
    this.find(message.chat.id)!.messages.push(written)
    return written
  }
}
