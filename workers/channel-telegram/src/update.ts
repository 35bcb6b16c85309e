import * as z from 'zod'

const User = z.looseObject({
  id: z.int(),
  is_bot: z.boolean(),
  first_name: z.string(),
  last_name: z.string().optional(),
  username: z.string().optional(),
})
const Chat = z.looseObject({ id: z.int(), type: z.string(), title: z.string().optional() })
const Entity = z.looseObject({
  type: z.string(),
  offset: z.int().nonnegative(),
  length: z.int().nonnegative(),
  user: User.optional(),
})

/** Who wrote first what was passed on: `user`, `hidden_user` (a name alone), `chat`, `channel`, or a kind to come. */
const Origin = z.looseObject({
  type: z.string(),
  sender_user: User.optional(),
  sender_user_name: z.string().optional(),
  /** Of `chat`: who wrote as that chat. */
  sender_chat: Chat.optional(),
  /** Of `channel`. */
  chat: Chat.optional(),
  author_signature: z.string().optional(),
})

/** What is read of a message; the rest of it says what else came along. */
export const TelegramMessage = z.looseObject({
  message_id: z.int(),
  chat: Chat,
  from: User.optional(),
  /** Somebody who writes as a channel or as the group. */
  sender_chat: Chat.optional(),
  message_thread_id: z.int().optional(),
  is_topic_message: z.boolean().optional(),
  text: z.string().optional(),
  caption: z.string().optional(),
  entities: z.array(Entity).optional(),
  /** It was passed on. */
  forward_origin: Origin.optional(),
  /** Shared by the pictures of an album. */
  media_group_id: z.string().max(40).optional(),
  caption_entities: z.array(Entity).optional(),
  /** The message that it answers; in a topic, where it answers nothing, the one that opened the topic. */
  reply_to_message: z
    .looseObject({
      from: User.optional(),
      text: z.string().optional(),
      caption: z.string().optional(),
      forward_origin: Origin.optional(),
      forum_topic_created: z.unknown().optional(),
    })
    .optional(),
  /** What it answers in another chat. */
  external_reply: z.looseObject({ origin: Origin }).optional(),
  /** The part of it that its writer chose. */
  quote: z.looseObject({ text: z.string() }).optional(),
  /** The group has become this supergroup, or this supergroup was that group. */
  migrate_to_chat_id: z.int().optional(),
  migrate_from_chat_id: z.int().optional(),
})
export type TelegramMessage = z.output<typeof TelegramMessage>

const CallbackQuery = z.looseObject({
  id: z.string(),
  from: User,
  message: TelegramMessage.optional(),
  data: z.string().optional(),
})
export type CallbackQuery = z.output<typeof CallbackQuery>

/** The kinds of updates that this worker asks for. */
export const Update = z.looseObject({
  update_id: z.int().nonnegative(),
  message: TelegramMessage.optional(),
  edited_message: TelegramMessage.optional(),
  callback_query: CallbackQuery.optional(),
})
export type Update = z.output<typeof Update>
export type TelegramUser = z.output<typeof User>
export type TelegramOrigin = z.output<typeof Origin>

/** Which updates Telegram is asked for. */
export function allowedUpdates(edits: boolean): string[] {
  return ['message', ...(edits ? ['edited_message'] : []), 'callback_query']
}

/** An event is known by this id. */
export function eventIdOf({ update_id: id }: Pick<Update, 'update_id'>): string {
  return `u${id}`
}
