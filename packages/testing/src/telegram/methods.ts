import * as z from 'zod'

const ChatId = z.union([z.int(), z.string().min(1)])
const CallbackButton = z.strictObject({ text: z.string().min(1), callback_data: z.string() })
const Keyboard = z.strictObject({ inline_keyboard: z.array(z.array(CallbackButton)) })
const LinkPreview = z.strictObject({ is_disabled: z.boolean() })
const UPDATE_TYPES = [
  'message',
  'edited_message',
  'channel_post',
  'edited_channel_post',
  'inline_query',
  'chosen_inline_result',
  'callback_query',
  'my_chat_member',
  'chat_member',
  'message_reaction',
] as const
const AllowedUpdates = z.array(z.enum(UPDATE_TYPES))

/**
 * The methods that there are, with the parameters that each takes. The real API passes over what it does not know; here
 * an unknown parameter is refused, because it is a mistake of the client.
 */
export const METHODS = {
  getMe: z.strictObject({}),
  getUpdates: z.strictObject({
    offset: z.int().optional(),
    limit: z.int().min(1).max(100).optional(),
    timeout: z.int().min(0).max(50).optional(),
    allowed_updates: AllowedUpdates.optional(),
  }),
  setWebhook: z.strictObject({
    url: z.string(),
    max_connections: z.int().min(1).max(100).optional(),
    allowed_updates: AllowedUpdates.optional(),
    drop_pending_updates: z.boolean().optional(),
    secret_token: z.string().optional(),
  }),
  deleteWebhook: z.strictObject({ drop_pending_updates: z.boolean().optional() }),
  getWebhookInfo: z.strictObject({}),
  setMyCommands: z.strictObject({
    commands: z
      .array(
        z.strictObject({ command: z.string().regex(/^[a-z0-9_]{1,32}$/), description: z.string().min(1).max(256) }),
      )
      .max(100),
  }),
  sendMessage: z.strictObject({
    chat_id: ChatId,
    message_thread_id: z.int().optional(),
    text: z.string(),
    parse_mode: z.literal('HTML').optional(),
    link_preview_options: LinkPreview.optional(),
    reply_parameters: z
      .strictObject({ message_id: z.int(), allow_sending_without_reply: z.boolean().optional() })
      .optional(),
    reply_markup: Keyboard.optional(),
  }),
  editMessageText: z.strictObject({
    chat_id: ChatId,
    message_id: z.int(),
    text: z.string(),
    parse_mode: z.literal('HTML').optional(),
    link_preview_options: LinkPreview.optional(),
    reply_markup: Keyboard.optional(),
  }),
  sendChatAction: z.strictObject({
    chat_id: ChatId,
    message_thread_id: z.int().optional(),
    action: z.enum(['typing', 'upload_photo', 'upload_document', 'record_voice']),
  }),
  answerCallbackQuery: z.strictObject({
    callback_query_id: z.string().min(1),
    text: z.string().max(200).optional(),
    show_alert: z.boolean().optional(),
  }),
}

export type Method = keyof typeof METHODS
export type Params<M extends Method> = z.output<(typeof METHODS)[M]>

export function isMethod(name: string): name is Method {
  return Object.hasOwn(METHODS, name)
}

/** What is sent where nobody says which kinds. */
export const DEFAULT_UPDATES: readonly string[] = UPDATE_TYPES.filter(
  (type) => type !== 'chat_member' && type !== 'message_reaction',
)
