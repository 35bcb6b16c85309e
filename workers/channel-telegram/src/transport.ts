import { type Content, type RichText, SendError, type Transport } from '@agentos/channel-kit'
import { type BotApi, BotApiError } from './bot-api.ts'
import { parseConversation } from './conversation-id.ts'
import { toHtml } from './html.ts'

/** Bytes of what a button sends back. */
const MAX_CALLBACK_DATA = 64

/** Sends and edits messages with HTML; a text whose markup Telegram refuses goes out plain. */
export class TelegramTransport implements Transport {
  private readonly api: BotApi

  constructor(api: BotApi) {
    this.api = api
  }

  async send(conversation: string, content: Content, entryId: string): Promise<string> {
    const { chatId, threadId } = parseConversation(conversation)
    const { message_id: id } = await this.formatted<{ message_id: number }>('sendMessage', content.rich, {
      chat_id: chatId,
      ...(threadId === undefined ? {} : { message_thread_id: threadId }),
      ...(content.replyTo === undefined
        ? {}
        : { reply_parameters: { message_id: Number(content.replyTo), allow_sending_without_reply: true } }),
      ...keyboard(content, entryId),
    })
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
    if (rich.spans.length === 0) return this.api.call<T>(method, { ...whole, text: rich.text })
    try {
      return await this.api.call<T>(method, { ...whole, text: toHtml(rich), parse_mode: 'HTML' })
    } catch (error) {
      // It was refused, so it was not sent.
      if (!(error instanceof BotApiError && error.code === 400 && error.says("can't parse entities"))) throw error
      return this.api.call<T>(method, { ...whole, text: rich.text })
    }
  }
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
