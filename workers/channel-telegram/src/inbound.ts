import type { Author, Message, Press, Quote, Sender } from '@agentos/channel-kit'
import { conversationOf } from './conversation-id.ts'
import { readCallbackData } from './transport.ts'
import {
  type CallbackQuery,
  eventIdOf,
  type TelegramMessage,
  type TelegramOrigin,
  type TelegramUser,
  type Update,
} from './update.ts'

/** Who this bot is: groups mention it by name. */
export interface Bot {
  id: number
  username: string
}

/** Fields of a message that hold something other than text, and what to call it. */
const UNUSABLE: Record<string, string> = {
  photo: 'a photo',
  document: 'a document',
  voice: 'a voice message',
  video: 'a video',
  video_note: 'a video message',
  audio: 'an audio file',
  animation: 'an animation',
  sticker: 'a sticker',
  location: 'a location',
  venue: 'a place',
  contact: 'a contact',
  poll: 'a poll',
  dice: 'a dice',
  story: 'a story',
  game: 'a game',
  paid_media: 'a paid attachment',
  checklist: 'a checklist',
}

/** The conversation that an update belongs to, as far as the queue needs it: what must not wait has a lane beside it. */
export function laneOf({ message, edited_message, callback_query }: Update): string | undefined {
  if (callback_query) return `press/${callback_query.id}`
  const written = message ?? edited_message
  if (!written) return undefined
  const conversation = placeOf(written)
  return isStop(written) ? `${conversation}/stop` : conversation
}

/** A message for us: written by a person, to the bot where others read along. */
export function readMessage(update: Update, bot: Bot): Message | undefined {
  const written = update.message ?? update.edited_message
  if (!written?.from || written.from.is_bot || written.sender_chat) return undefined
  const direct = written.chat.type === 'private'
  const text = written.text ?? written.caption ?? ''
  const entities = written.entities ?? written.caption_entities ?? []
  if (!direct && !isAddressed(written, text, entities, bot)) return undefined
  const unusable = Object.keys(UNUSABLE).filter((field) => written[field] !== undefined)
  // An animation comes as a document too.
  const things = unusable.filter((field) => field !== 'document' || !unusable.includes('animation'))
  const { forward_origin: origin } = written
  const forwarded = origin && authorOf(origin, written.from, bot)
  const bare = forwarded === undefined ? withoutMention(text, bot) : text.trim()
  // Somebody joined, a title changed: nothing was said.
  if (bare === '' && things.length === 0 && text === '') return undefined
  // Pictures of an album come one by one; one answer is enough for those without a word.
  const album = text === '' ? written.media_group_id : undefined
  const quote = quoteOf(written, bot)
  return {
    eventId: album === undefined ? eventIdOf(update) : `g${album}`,
    conversation: placeOf(written),
    place: written.message_id,
    sender: senderOf(written.from),
    direct,
    text: bare === '' && things.length === 0 && !quote ? '/start' : bare,
    ...(quote ? { quote } : {}),
    ...(forwarded === undefined ? {} : { forwarded }),
    unusable: things.map((field) => UNUSABLE[field]!),
    ...(direct ? {} : { replyTo: String(written.message_id) }),
  }
}

/** The group that was and the supergroup that it has become, where a message says so. */
export function readMove({ message }: Update): { from: string; to: string } | undefined {
  if (!message) return undefined
  const { chat, migrate_to_chat_id: next, migrate_from_chat_id: before } = message
  if (next !== undefined) return { from: conversationOf(chat.id, undefined), to: conversationOf(next, undefined) }
  if (before !== undefined) return { from: conversationOf(before, undefined), to: conversationOf(chat.id, undefined) }
  return undefined
}

/** The album that a message is a piece of, and whether this piece has words. */
export function readAlbum(update: Update): { id: string; hasWords: boolean } | undefined {
  const written = update.message ?? update.edited_message
  const id = written?.media_group_id
  return id === undefined ? undefined : { id, hasWords: Boolean(written?.caption?.trim()) }
}

export function readPress({ update_id, callback_query: query }: Update): Press | undefined {
  const target = query?.data === undefined ? undefined : readCallbackData(query.data)
  if (!query?.message || !target || query.from.is_bot) return undefined
  return {
    eventId: eventIdOf({ update_id }),
    conversation: placeOf(query.message),
    sender: senderOf(query.from),
    messageId: String(query.message.message_id),
    ...target,
  }
}

/** Replies within an ordinary group have a thread id too; only topics are conversations of their own. */
function placeOf(message: NonNullable<CallbackQuery['message']>): string {
  const topic = message.is_topic_message ? message.message_thread_id : undefined
  return conversationOf(message.chat.id, topic)
}

function isStop({ text = '', forward_origin: origin }: TelegramMessage): boolean {
  return origin === undefined && /^\/stop(@\w+)?(\s|$)/i.test(text.trim())
}

/** By a mention, a command that names the bot, or a reply to what it wrote. */
function isAddressed(
  message: TelegramMessage,
  text: string,
  entities: NonNullable<TelegramMessage['entities']>,
  bot: Bot,
): boolean {
  const { reply_to_message: answered } = message
  if (answered?.from?.id === bot.id && answered.forum_topic_created === undefined) return true
  const name = `@${bot.username}`.toLowerCase()
  return entities.some(({ type, offset, length, user }) => {
    const named = text.slice(offset, offset + length).toLowerCase()
    if (type === 'mention') return named === name
    if (type === 'bot_command') return named.endsWith(name)
    return type === 'text_mention' && user?.id === bot.id
  })
}

/** The part that was chosen, else the whole of what is answered. */
function quoteOf(
  { quote, reply_to_message: answered, external_reply: external, from }: TelegramMessage,
  bot: Bot,
): Quote | undefined {
  const text = (quote?.text ?? answered?.text ?? answered?.caption ?? '').trim()
  if (text === '') return undefined
  const origin = answered?.forward_origin ?? external?.origin
  return { text, by: origin ? authorOf(origin, from, bot) : whoOf(answered?.from, from, bot) }
}

/** Who wrote first what was passed on. */
function authorOf(origin: TelegramOrigin, sender: TelegramUser | undefined, bot: Bot): Author {
  const { sender_user, sender_user_name, sender_chat, chat, author_signature } = origin
  if (sender_user) return whoOf(sender_user, sender, bot)
  return {
    name:
      sender_user_name ?? ([author_signature, (sender_chat ?? chat)?.title].filter(Boolean).join(' of ') || undefined),
  }
}

function whoOf(writer: TelegramUser | undefined, sender: TelegramUser | undefined, bot: Bot): Author {
  if (writer?.id === bot.id) return 'bot'
  if (writer && writer.id === sender?.id) return 'sender'
  return { name: writer && senderOf(writer).name }
}

/** The name is how the bot was called, not what it was told. */
function withoutMention(text: string, { username }: Bot): string {
  const name = new RegExp(`@${username}(?![A-Za-z0-9_])`, 'gi')
  return text.replaceAll(name, '').trim()
}

function senderOf({ id, first_name, last_name }: TelegramUser): Sender {
  return { id: String(id), name: [first_name, last_name].filter(Boolean).join(' ').slice(0, 100) }
}
