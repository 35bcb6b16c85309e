import { type Content, MovedError, type RichText, SendError, type Transport } from '@agentos/channel-kit'
import { type BotApi, BotApiError } from './bot-api.ts'
import { conversationOf, parseConversation } from './conversation-id.ts'
import { toHtml } from './html.ts'

/** Bytes of what a button sends back. */
const MAX_CALLBACK_DATA = 64
/** What Telegram says of a topic that is closed or gone. */
const NO_TOPIC = ['message thread not found', 'topic_closed', 'topic_deleted']

/** Sends and edits messages with HTML; a text whose markup Telegram refuses goes out plain. */
export class TelegramTransport implements Transport {
  private readonly api: BotApi

  constructor(api: BotApi) {
    this.api = api
  }

  /** Where its topic is closed or gone, a message goes to the chat. */
  async send(conversation: string, content: Content, entryId: string): Promise<string> {
    const { chatId, threadId } = parseConversation(conversation)
    const { replyTo } = content
    const shown = { chat_id: chatId, ...keyboard(content, entryId) }
    const place = {
      ...(threadId === undefined ? {} : { message_thread_id: threadId }),
      ...(replyTo === undefined
        ? {}
        : { reply_parameters: { message_id: Number(replyTo), allow_sending_without_reply: true } }),
    }
    try {
      return await this.post(content.rich, { ...shown, ...place })
    } catch (error) {
      // It was refused, so it was not sent. An answer would go to the topic of what it answers, so this one answers nothing.
      if (!isTopicGone(error)) throw error
      if (threadId === undefined && replyTo === undefined) throw closed(error)
      return this.post(content.rich, shown).catch((again: unknown) => {
        throw isTopicGone(again) ? closed(again) : again
      })
    }
  }

  private async post(rich: RichText, params: object): Promise<string> {
    const { message_id: id } = await this.formatted<{ message_id: number }>('sendMessage', rich, params)
    return String(id)
  }

  async edit(conversation: string, messageId: string, content: Content, entryId: string): Promise<void> {
    const { chatId } = parseConversation(conversation)
    try {
      await this.formatted('editMessageText', content.rich, {
        chat_id: chatId,
        message_id: Number(messageId),
        ...keyboard(content, entryId),
      })
    } catch (error) {
      if (error instanceof BotApiError && error.says('message is not modified')) return
      throw error
    }
  }

  private async formatted<T>(method: string, rich: RichText, params: object): Promise<T> {
    const whole = { ...params, link_preview_options: { is_disabled: true } }
    if (rich.spans.length === 0) return this.call<T>(method, { ...whole, text: rich.text })
    try {
      return await this.call<T>(method, { ...whole, text: toHtml(rich), parse_mode: 'HTML' })
    } catch (error) {
      // It was refused, so it was not sent.
      if (!(error instanceof BotApiError && error.code === 400 && error.says("can't parse entities"))) throw error
      return this.call<T>(method, { ...whole, text: rich.text })
    }
  }

  private async call<T>(method: string, params: object): Promise<T> {
    try {
      return await this.api.call<T>(method, params)
    } catch (error) {
      if (!(error instanceof BotApiError) || error.movedTo === undefined) throw error
      throw new MovedError(conversationOf(error.movedTo, undefined), error.message)
    }
  }
}

/** Nothing is left to try: a person has to open it. */
function closed({ message }: BotApiError): SendError {
  const what =
    'General of this forum is closed to the bot: open it, or let the bot manage topics, then resend the message'
  return new SendError('refused', `${what} (${message})`)
}

function isTopicGone(error: unknown): error is BotApiError {
  return error instanceof BotApiError && error.code === 400 && NO_TOPIC.some((words) => error.says(words))
}

/** A press sends back which button of which entry it was; what the button does stays here. */
function keyboard({ buttons }: Content, entryId: string): object {
  if (!buttons || buttons.length === 0) return {}
  const row = buttons.map(({ label }, index) => {
    const data = `${entryId}|${index}`
    if (Buffer.byteLength(data) > MAX_CALLBACK_DATA) {
      throw new SendError('refused', `The id ${entryId} is too long for a button`)
    }
    return { text: label, callback_data: data }
  })
  return { reply_markup: { inline_keyboard: [row] } }
}

export function readCallbackData(data: string): { entryId: string; button: number } | undefined {
  const found = /^(.{1,60})\|(\d{1,2})$/.exec(data)
  return found ? { entryId: found[1]!, button: Number(found[2]) } : undefined
}
