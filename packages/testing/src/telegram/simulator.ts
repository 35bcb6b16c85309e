import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import {
  type Button,
  Chats,
  type TelegramChat,
  type TelegramMessage,
  type TelegramOrigin,
  type TelegramUser,
} from './chats.ts'
import { FloodGuard, type FloodLimits } from './flood.ts'
import { parseHtml } from './html.ts'
import { isMethod, METHODS, type Method, type Params } from './methods.ts'
import { badRequest, Refusal } from './refusal.ts'
import { type Update, UpdateQueue } from './update-queue.ts'

/** UTF-16 units of a message after its entities were parsed. */
const MAX_TEXT = 4_096
const MAX_CALLBACK_DATA = 64
const MAX_BODY = 1_000_000

/**
 * What goes wrong with a call. `drop` takes effect and closes the connection without an answer, `reset` closes it before
 * anything happened; `hang` never answers and has no effect; `refuse` answers this error without an effect.
 */
export type TelegramFault =
  | { kind: 'drop' }
  | { kind: 'reset' }
  | { kind: 'hang' }
  | { kind: 'refuse'; code: number; description?: string; retryAfter?: number }

export interface TelegramCall {
  method: string
  params: Record<string, unknown>
  /** Epoch milliseconds. */
  at: number
  /** Absent while it is being served. */
  status?: number
  description?: string
}

export interface TelegramOptions {
  token?: string
  username?: string
  limits?: FloodLimits
  /** As a Bot API server of one's own with `--local`: webhooks may be plain HTTP. @default true */
  local?: boolean
  /** Until a webhook delivery that failed is tried again. @default 200 */
  retryMs?: number
}

/** A call that waits, before it takes effect, until the test lets it go. */
export interface Gate {
  reached: Promise<void>
  release: () => void
}

/** A strict stand-in for the Bot API, over HTTP on 127.0.0.1: it refuses what the documentation forbids. */
export class TelegramSimulator {
  /** For `api_base`. */
  readonly url: string
  readonly token: string
  readonly bot: TelegramUser
  readonly calls: TelegramCall[] = []
  readonly updates: UpdateQueue
  /** What clients did wrong: unknown methods, parameters and tokens. */
  readonly violations: string[] = []
  /** Answers to presses, by the id of the press. */
  readonly callbackAnswers = new Map<string, string>()
  private readonly chats = new Chats()
  private readonly flood: FloodGuard
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  private readonly faults: { method: Method; fault: TelegramFault }[] = []
  private readonly gates: { method: Method; reached: () => void; released: Promise<void> }[] = []
  private readonly callbacks = new Set<string>()
  private nextCallback = 1

  private constructor(server: Server, options: TelegramOptions) {
    this.server = server
    this.token = options.token ?? '123456:simulated-token-of-a-bot-0123456789'
    this.bot = { id: 123_456, is_bot: true, first_name: 'Simulated', username: options.username ?? 'simulated_bot' }
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    this.flood = new FloodGuard(options.limits ?? {})
    const { local: allowHttp = true, retryMs = 200 } = options
    this.updates = new UpdateQueue({ allowHttp, retryMs, firstId: 700_000_001 })
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
      socket.on('error', () => socket.destroy())
    })
    server.on('request', (request, response) => void this.serve(request, response))
  }

  static start(options: TelegramOptions = {}): Promise<TelegramSimulator> {
    const server = createServer()
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', () => resolve(new TelegramSimulator(server, options)))
    })
  }

  /** One fault for each coming call of the method, in order; afterwards all is well. */
  play(method: Method, ...faults: TelegramFault[]): void {
    this.faults.push(...faults.map((fault) => ({ method, fault })))
  }

  /** Drops the faults that have not happened: from now on all is well. */
  recover(): void {
    this.faults.length = 0
  }

  /** Holds the next call of the method before it takes effect. */
  gate(method: Method): Gate {
    const reached = Promise.withResolvers<void>()
    const released = Promise.withResolvers<void>()
    this.gates.push({ method, reached: reached.resolve, released: released.promise })
    return { reached: reached.promise, release: released.resolve }
  }

  addChat(chat: TelegramChat): void {
    this.chats.add(chat)
  }

  /** A topic of a forum, opened by somebody or by the bot; its id. */
  addTopic(chatId: number, from?: Person): number {
    return this.chats.addTopic(chatId, from ? userOf(from) : this.bot, 'A topic')
  }

  /** Nobody but administrators writes there any more; General is topic 1. */
  closeTopic(chatId: number, topic: number): void {
    this.chats.closeTopic(chatId, topic)
  }

  /** A group becomes a supergroup with another id: from now on the old one is refused. */
  upgrade(from: Person, chatId: number, newId: number, { announce = true }: { announce?: boolean } = {}): TelegramChat {
    const old = this.chats.find(chatId)!
    const chat: TelegramChat = { ...old.chat, id: newId, type: 'supergroup' }
    this.chats.add(chat)
    if (announce) {
      const user = userOf(from)
      const arrived = this.chats.write({ from: user, chat, migrate_from_chat_id: chatId })
      const left = this.chats.write({ from: user, chat: old.chat, migrate_to_chat_id: newId })
      this.updates.add('message', arrived, `chat/${newId}`)
      this.updates.add('message', left, `chat/${chatId}`)
    }
    old.movedTo = newId
    return chat
  }

  block(chatId: number): void {
    this.chats.find(chatId)!.blocked = true
  }

  /** Somebody writes. `more` are further fields of the message; the id is the update's. */
  say(
    from: Person,
    text: string | undefined,
    more: Record<string, unknown> & { chat?: TelegramChat; topic?: number } = {},
  ): number {
    const { chat: given, topic, ...fields } = more
    const chat = given ?? { id: from.id, type: 'private' as const }
    this.chats.add(chat)
    const message = this.chats.write({
      from: userOf(from),
      chat,
      ...(text === undefined ? {} : { text }),
      ...commandEntity(text),
      ...(topic === undefined ? {} : this.chats.inTopic(chat.id, topic)),
      ...fields,
    })
    return this.updates.add('message', message, `chat/${chat.id}`)!
  }

  /** Somebody passes on what was written elsewhere. */
  forward(from: Person, text: string, origin: TelegramOrigin, more: { chat?: TelegramChat } = {}): number {
    return this.say(from, text, { ...more, forward_origin: origin })
  }

  /** Somebody changes what they wrote last. */
  edit(from: Person, text: string): number | undefined {
    const message = this.chats.find(from.id)!.messages.findLast((written) => written.from.id === from.id)!
    Object.assign(message, { text, edit_date: Math.floor(Date.now() / 1_000) })
    return this.updates.add('edited_message', message, `chat/${from.id}`)
  }

  /** Somebody presses a button; `data` other than the button's is what a manipulated client sends. */
  press(from: Person, message: TelegramMessage, label: string, data?: string): string {
    const button = buttonsOf(message).find(({ text }) => text === label)
    if (!button && data === undefined) throw new Error(`The message has no button ${label}`)
    const id = `callback-${this.nextCallback}`
    this.nextCallback += 1
    this.callbacks.add(id)
    const query = { id, from: userOf(from), message, chat_instance: '1', data: data ?? button!.callback_data }
    this.updates.add('callback_query', query, `press/${id}`)
    return id
  }

  /** What the bot wrote into a chat, as it looks now. */
  sent(chatId: number): TelegramMessage[] {
    return (this.chats.find(chatId)?.messages ?? []).filter(({ from }) => from.id === this.bot.id)
  }

  texts(chatId: number): string[] {
    return this.sent(chatId).map(({ text }) => text ?? '')
  }

  callsOf(method: Method): TelegramCall[] {
    return this.calls.filter((call) => call.method === method)
  }

  async close(): Promise<void> {
    this.updates.close()
    for (const socket of this.sockets) socket.destroy()
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const call: TelegramCall = { method: '', params: {}, at: Date.now() }
    try {
      const result = await this.handle(request, call)
      if (result === undefined) return void response.destroy()
      call.status = 200
      reply(response, 200, { ok: true, result })
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(500, `Internal Server Error: ${String(error)}`)
      call.status = refusal.code
      call.description = refusal.message
      reply(response, refusal.code, refusal.body())
    }
  }

  /** The result; `undefined` where the connection is to be closed without one. */
  private async handle(request: IncomingMessage, call: TelegramCall): Promise<unknown> {
    const [, token, name] = /^\/bot([^/]+)\/(\w+)$/.exec(request.url ?? '') ?? []
    if (token === undefined || name === undefined) throw this.violation(404, 'Not Found', `the path of a request`)
    if (decodeURIComponent(token) !== this.token) throw this.violation(401, 'Unauthorized', 'a wrong token')
    call.method = name
    if (!isMethod(name)) throw this.violation(404, 'Not Found: method not found', `the unknown method ${name}`)
    const given = await readParams(request)
    call.params = given
    this.calls.push(call)
    const params = METHODS[name].safeParse(given)
    if (!params.success) {
      const [issue] = params.error.issues
      throw this.violation(400, `Bad Request: ${issue!.path.join('.')}: ${issue!.message}`, `parameters of ${name}`)
    }
    await this.pass(name)
    const fault = this.nextFault(name)
    if (fault?.kind === 'reset') return undefined
    if (fault?.kind === 'hang') return new Promise(() => {})
    if (fault?.kind === 'refuse') {
      throw new Refusal(fault.code, fault.description ?? describe(fault.code, fault.retryAfter), fault.retryAfter)
    }
    const result = await this.run(name, params.data)
    return fault?.kind === 'drop' ? undefined : result
  }

  private run<M extends Method>(method: M, params: Params<M>): unknown {
    const served: { [K in Method]: (params: Params<K>) => unknown } = {
      getMe: () => ({ ...this.bot, can_join_groups: true, can_read_all_group_messages: false }),
      getUpdates: (given) => this.updates.getUpdates(given),
      setWebhook: (given) => {
        this.updates.setWebhook(given)
        return true
      },
      deleteWebhook: (given) => {
        this.updates.setWebhook({ url: '', ...given })
        return true
      },
      getWebhookInfo: () => ({
        url: this.updates.webhook?.url ?? '',
        has_custom_certificate: false,
        pending_update_count: this.updates.waiting.length,
      }),
      setMyCommands: () => true,
      sendMessage: (given) => this.sendMessage(given),
      editMessageText: (given) => this.editMessageText(given),
      sendChatAction: (given) => {
        this.chats.checkAction(this.chats.open(given.chat_id), given.message_thread_id)
        return true
      },
      answerCallbackQuery: ({ callback_query_id: id, text }) => {
        if (!this.callbacks.delete(id)) {
          throw badRequest('query is too old and response timeout expired or query ID is invalid')
        }
        this.callbackAnswers.set(id, text ?? '')
        return true
      },
    }
    return served[method](params)
  }

  private sendMessage(given: Params<'sendMessage'>): TelegramMessage {
    const room = this.chats.open(given.chat_id)
    const { chat, messages } = room
    const shown = this.readText(given.text, given.parse_mode)
    checkKeyboard(given.reply_markup?.inline_keyboard)
    const { reply_parameters: reply } = given
    const answered = reply && messages.find(({ message_id: id }) => id === reply.message_id)
    if (reply && !answered && !reply.allow_sending_without_reply) throw badRequest('message to be replied not found')
    const thread = this.chats.threadFor(room, given.message_thread_id, answered)
    this.flood.take(chat.id, chat.type !== 'private')
    return this.chats.write({
      from: this.bot,
      chat,
      ...shown,
      ...thread,
      ...(answered ? { reply_to_message: { message_id: answered.message_id } } : {}),
      ...(given.reply_markup ? { reply_markup: given.reply_markup } : {}),
    })
  }

  private editMessageText(given: Params<'editMessageText'>): TelegramMessage {
    const { chat, messages } = this.chats.open(given.chat_id)
    const message = messages.find(({ message_id: id }) => id === given.message_id)
    if (!message) throw badRequest('message to edit not found')
    if (message.from.id !== this.bot.id) throw badRequest("message can't be edited")
    const shown = this.readText(given.text, given.parse_mode)
    checkKeyboard(given.reply_markup?.inline_keyboard)
    const state = (text: unknown, entities: unknown, markup: unknown) => JSON.stringify([text, entities, markup])
    const before = state(message.text, message.entities, message.reply_markup)
    if (before === state(shown.text, shown.entities, given.reply_markup)) {
      throw badRequest(
        'message is not modified: specified new message content and reply markup are exactly the same as a current content and reply markup of the message',
      )
    }
    this.flood.take(chat.id, chat.type !== 'private')
    delete message.reply_markup
    delete message.entities
    Object.assign(message, shown, { edit_date: Math.floor(Date.now() / 1_000) })
    if (given.reply_markup) message.reply_markup = given.reply_markup
    return message
  }

  private readText(given: string, mode: 'HTML' | undefined): Pick<TelegramMessage, 'text' | 'entities'> {
    const { text, entities } = mode === 'HTML' ? parseHtml(given) : { text: given, entities: [] }
    if (text.trim() === '') throw badRequest('message text is empty')
    if (text.length > MAX_TEXT) throw badRequest('message is too long')
    return { text, ...(entities.length > 0 ? { entities } : {}) }
  }

  private async pass(method: Method): Promise<void> {
    const at = this.gates.findIndex((gate) => gate.method === method)
    if (at < 0) return
    const [gate] = this.gates.splice(at, 1)
    gate!.reached()
    await gate!.released
  }

  private nextFault(method: Method): TelegramFault | undefined {
    const at = this.faults.findIndex((planned) => planned.method === method)
    return at < 0 ? undefined : this.faults.splice(at, 1)[0]!.fault
  }

  private violation(code: number, description: string, what: string): Refusal {
    this.violations.push(`${what}: ${description}`)
    return new Refusal(code, description)
  }
}

/** Somebody who uses Telegram; a private chat has the id of its user. */
export interface Person {
  id: number
  first_name: string
  username?: string
}

export const startTelegramSimulator = (options?: TelegramOptions): Promise<TelegramSimulator> =>
  TelegramSimulator.start(options)

export type { Update }

export function buttonsOf(message: TelegramMessage): Button[] {
  return message.reply_markup?.inline_keyboard.flat() ?? []
}

function userOf(person: Person): TelegramUser {
  return { is_bot: false, ...person }
}

function commandEntity(text: string | undefined): object {
  const command = /^\/\w+(?:@\w+)?/.exec(text ?? '')?.[0]
  return command ? { entities: [{ type: 'bot_command', offset: 0, length: command.length }] } : {}
}

function checkKeyboard(keyboard: Button[][] | undefined): void {
  for (const { callback_data: data } of keyboard?.flat() ?? []) {
    const bytes = Buffer.byteLength(data)
    if (bytes < 1 || bytes > MAX_CALLBACK_DATA) throw badRequest('BUTTON_DATA_INVALID')
  }
}

function describe(code: number, retryAfter: number | undefined): string {
  if (code === 429) return `Too Many Requests: retry after ${retryAfter ?? 1}`
  return code >= 500 ? 'Bad Gateway' : 'Bad Request'
}

async function readParams(request: IncomingMessage): Promise<Record<string, unknown>> {
  if (request.method !== 'POST' || !(request.headers['content-type'] ?? '').startsWith('application/json')) {
    throw badRequest('a POST with a JSON body was expected')
  }
  let text = ''
  for await (const chunk of request) {
    text += chunk
    if (text.length > MAX_BODY) throw new Refusal(413, 'Request Entity Too Large')
  }
  try {
    return JSON.parse(text === '' ? '{}' : text) as Record<string, unknown>
  } catch {
    throw badRequest("can't parse request JSON object")
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
