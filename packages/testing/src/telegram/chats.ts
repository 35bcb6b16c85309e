import type { Entity } from './html.ts'
import { badRequest, Refusal } from './refusal.ts'

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
  /** A supergroup with topics. */
  is_forum?: boolean
}

/** Who wrote first what somebody forwards: the four kinds of the Bot API, each with what it always has. */
export type TelegramOrigin = { date: number } & (
  | { type: 'user'; sender_user: TelegramUser }
  | { type: 'hidden_user'; sender_user_name: string }
  | { type: 'chat'; sender_chat: TelegramChat; author_signature?: string }
  | { type: 'channel'; chat: TelegramChat; message_id: number; author_signature?: string }
)

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

/** Messages of a forum that belong to no topic are shown here; nothing is sent to it by this id. */
const GENERAL = 1

interface Room {
  chat: TelegramChat
  messages: TelegramMessage[]
  blocked: boolean
  /** Topics of a forum, and whether they are closed; General too once it is. */
  topics: Map<number, { closed: boolean; root: object }>
  /** The supergroup that this group has become. */
  movedTo?: number
  nextMessage: number
}

/** Chats that the bot can reach, with what was written in each. */
export class Chats {
  private readonly rooms = new Map<number, Room>()
  /** Private chats and groups count their messages together; a supergroup counts its own, from 1. */
  private nextMessage = 1

  add(chat: TelegramChat): void {
    if (this.rooms.has(chat.id)) return
    // The first message of a forum is that of its creation, after which General is named.
    const nextMessage = chat.is_forum ? GENERAL + 1 : 1
    this.rooms.set(chat.id, { chat, messages: [], blocked: false, topics: new Map(), nextMessage })
  }

  find(id: number | string): Room | undefined {
    return this.rooms.get(Number(id))
  }

  /** For a call of the bot: one that it cannot reach is refused. */
  open(id: number | string): Room {
    const room = this.find(id)
    if (!room) throw badRequest('chat not found')
    if (room.blocked) throw new Refusal(403, 'Forbidden: bot was blocked by the user')
    if (room.movedTo === undefined) return room
    throw new Refusal(400, 'Bad Request: group chat was upgraded to a supergroup chat', undefined, room.movedTo)
  }

  write(message: { from: TelegramUser; chat: TelegramChat; [field: string]: unknown }): TelegramMessage {
    const room = this.find(message.chat.id)!
    const isCountedAlone = room.chat.type === 'supergroup' || room.chat.type === 'channel'
    const written = {
      message_id: isCountedAlone ? room.nextMessage : this.nextMessage,
      date: Math.floor(Date.now() / 1_000),
      ...message,
    }
    if (isCountedAlone) room.nextMessage += 1
    else this.nextMessage += 1
    room.messages.push(written)
    return written
  }

  /** Somebody opens a topic; its id is that of the message that says so. */
  addTopic(chatId: number, from: TelegramUser, name: string): number {
    const { chat, topics } = this.find(chatId)!
    const root = this.write({ from, chat, is_topic_message: true, forum_topic_created: { name, icon_color: 1 } })
    const { message_id: id } = root
    root.message_thread_id = id
    topics.set(id, { closed: false, root })
    return id
  }

  closeTopic(chatId: number, id: number): void {
    const { topics } = this.find(chatId)!
    topics.set(id, { root: {}, ...topics.get(id), closed: true })
  }

  /** What a message of a topic carries beside its text: one that answers nothing refers to the topic's first message. */
  inTopic(chatId: number, id: number): object {
    const { root } = this.find(chatId)!.topics.get(id)!
    return { message_thread_id: id, is_topic_message: true, reply_to_message: root }
  }

  /** Where a message of the bot goes: the thread that it names, or that of the message which it answers. */
  threadFor(room: Room, wanted: number | undefined, answered: TelegramMessage | undefined): object {
    const { chat, topics, messages } = room
    if (!chat.is_forum) {
      if (wanted === undefined) return {}
      if (!messages.some((message) => message.message_thread_id === wanted)) throw threadNotFound()
      return { message_thread_id: wanted }
    }
    if (wanted !== undefined && (wanted === GENERAL || !topics.has(wanted))) throw threadNotFound()
    const named = wanted ?? (answered?.is_topic_message ? answered.message_thread_id : undefined)
    const thread = named === GENERAL ? undefined : named
    if (topics.get(thread ?? GENERAL)?.closed) throw badRequest('TOPIC_CLOSED')
    return thread === undefined ? {} : { message_thread_id: thread, is_topic_message: true }
  }

  /** General may be named where somebody is shown typing. */
  checkAction(room: Room, wanted: number | undefined): void {
    if (wanted === undefined || (room.chat.is_forum && wanted === GENERAL)) return
    const isKnown = room.topics.has(wanted) || room.messages.some((message) => message.message_thread_id === wanted)
    if (!isKnown) throw threadNotFound()
  }
}

function threadNotFound(): Refusal {
  return badRequest('message thread not found')
}
