import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  Access,
  approvalButtons,
  Conversations,
  Desk,
  FollowedRuns,
  isSameSecret,
  type Message,
  Outbox,
  Pacer,
  pairedWords,
  persist,
  plain,
  type Question,
  type Role,
  Sends,
  store,
  Turns,
  whatFor,
  words,
} from '@agentos/channel-kit'
import { AgentError, type Caller, type HandlerContext, type WorkerSelf } from '@agentos/sdk'
import { Albums } from './albums.ts'
import { BotApi, BotApiError } from './bot-api.ts'
import { isGroup, parseConversation, sameConversation } from './conversation-id.ts'
import { type Bot, laneOf, readAlbum, readMessage, readMove, readPress } from './inbound.ts'
import { poll } from './poller.ts'
import type { Secrets, Settings } from './settings.ts'
import { TelegramTransport } from './transport.ts'
import { allowedUpdates, eventIdOf, Update } from './update.ts'

/** Updates wait here for their turn. */
export const TOPIC = 'telegram.updates'
const SCOPES = {
  outbox: 'telegram-outbox',
  access: 'telegram-access',
  conversations: 'telegram-conversations',
  turns: 'telegram-turns',
  runs: 'telegram-runs',
  poll: 'telegram-poll',
  keys: 'telegram-keys',
}
/** UTF-16 units of a message. */
const MESSAGE_LIMIT = 4_096
/** Telegram takes some 30 requests a second of a bot; the rest is for what is not a message. */
const OVERALL = { count: 28, perMs: 1_000 }
const CALLBACK_WORDS = 200
const BACKOFF_MS = { first: 1_000, last: 60_000 }
const WEBHOOK_PATH = '/webhook/telegram'
const COMMANDS = [
  { command: 'new', description: 'Begin a new conversation' },
  { command: 'stop', description: 'Stop the answer that is being written' },
  { command: 'agent', description: 'Show or choose the agent' },
  { command: 'help', description: 'What there is' },
]

/** The channel, once its settings are there: updates come in, messages go out. */
export class Telegram {
  readonly outbox: Outbox
  readonly access: Access
  readonly conversations: Conversations
  readonly mode: 'polling' | 'webhook'
  /** What does not work at the moment, in words. */
  problem: string | undefined
  readonly realm: string
  /** Acts in the channel's realm, on the worker's own behalf. */
  private readonly self: Caller
  private readonly settings: Settings
  private readonly secrets: Secrets
  private readonly api: BotApi
  private readonly sends: Sends
  private readonly albums: Albums
  private readonly runs: FollowedRuns
  private readonly desk: Desk
  private readonly stopping = new AbortController()
  /** The first part of a token is the bot's id. */
  private readonly botId: number
  private identity: Bot | undefined
  private connecting: Promise<void> = Promise.resolve()

  constructor(self: WorkerSelf, settings: Settings, secrets: Secrets & { token: string }) {
    this.realm = settings.realm
    this.self = self.inRealm(settings.realm)
    this.settings = settings
    this.secrets = secrets
    this.mode = settings.public_url === undefined ? 'polling' : 'webhook'
    this.botId = Number(secrets.token.split(':')[0])
    const { state, log } = this.self
    this.api = new BotApi({ base: settings.api_base, token: secrets.token, timeoutMs: settings.request_timeout_ms })
    const pacer = new Pacer({
      // The topics of a group share its limit.
      accountOf: (conversation) => String(parseConversation(conversation).chatId),
      intervalMs: (conversation) => (isGroup(conversation) ? settings.group_interval_ms : settings.chat_interval_ms),
      overall: OVERALL,
    })
    const transport = new TelegramTransport(this.api)
    const onMoved = (from: string, to: string) => this.conversations.move(from, to)
    this.outbox = new Outbox({ state, scope: SCOPES.outbox, transport, pacer, log, onMoved })
    this.sends = new Sends({ outbox: this.outbox, scope: SCOPES.keys, limit: MESSAGE_LIMIT })
    this.access = new Access({ state, scope: SCOPES.access, owners: settings.owners, users: settings.users })
    this.conversations = new Conversations({ state, scope: SCOPES.conversations, channel: 'telegram' })
    this.albums = new Albums(state, SCOPES.turns)
    this.runs = new FollowedRuns({
      self: this.self,
      scope: SCOPES.runs,
      outbox: this.outbox,
      limit: MESSAGE_LIMIT,
      askOwners: async (requestId, functionId) => {
        const what = await whatFor(this.self, requestId, functionId)
        const question = await this.question(requestId, `An agent waits for your approval.\n\n${what}`)
        await this.sends.askHere(question)
      },
    })
    this.desk = new Desk({
      outbox: this.outbox,
      access: this.access,
      conversations: this.conversations,
      turns: new Turns(state, SCOPES.turns),
      runs: this.runs,
      defaultAgent: settings.agent,
      limit: MESSAGE_LIMIT,
      everyMs: settings.stream ? settings.stream_interval_ms : undefined,
      showTyping: (conversation) => this.showTyping(conversation),
      approveHint: (code) => `npm run agentos -- call channel::telegram::approve '{"code":"${code}"}'`,
    })
  }

  get bot(): string | undefined {
    return this.identity?.username
  }

  /** Takes up what was left; the connection to Telegram is made beside. */
  async open(): Promise<void> {
    const known = await persist(() => this.self.state.get<Bot>(SCOPES.poll, 'bot'))
    if (known?.id === this.botId) this.identity = known
    await this.outbox.open()
    await this.runs.open()
    this.connecting = this.connect().catch((error: unknown) => {
      if (!this.stopping.signal.aborted) this.self.log.error({ err: error }, 'Telegram is not connected any more')
    })
  }

  async stop(): Promise<void> {
    this.stopping.abort()
    this.runs.stop()
    await Promise.all([this.connecting, this.outbox.stop()])
    await this.api.close()
  }

  /** Does a delivery come from Telegram? */
  isGenuine(headers: Record<string, string>): boolean {
    const given = headers['x-telegram-bot-api-secret-token']
    return this.mode === 'webhook' && isSameSecret(given, this.secrets.webhookSecret)
  }

  /** Stores an update of one of the kinds that are handled; on disk when this resolves. */
  async take(update: unknown): Promise<void> {
    const read = Update.safeParse(update)
    if (!read.success) {
      const id = (update as { update_id?: unknown } | null)?.update_id
      if (typeof id !== 'number') throw new AgentError('invalid_input', 'This is not an update: it has no update_id')
      this.self.log.warn({ update: id }, 'an update is not of a known form and is passed over')
      return
    }
    const { edited_message: edited } = read.data
    const lane = edited && this.settings.edited_messages === 'ignore' ? undefined : laneOf(read.data)
    if (lane === undefined) return
    const album = readAlbum(read.data)
    if (album?.hasWords) await this.albums.note(album.id)
    await store(this.self, TOPIC, eventIdOf(read.data), { lane, event: update })
  }

  /** A job of the queue; false where there was nothing to do. */
  async receive(event: unknown, ctx: HandlerContext): Promise<boolean> {
    const update = Update.parse(event)
    const bot = this.identity
    if (!bot) throw new AgentError('upstream_error', 'Telegram has not told yet which bot this is; the update waits')
    if (update.callback_query) {
      const press = readPress(update)
      const said = press ? await this.desk.press(press, ctx) : words.outdated
      await this.answerPress(update.callback_query.id, said)
      return press !== undefined
    }
    const move = readMove(update)
    if (move) {
      await this.conversations.move(move.from, move.to)
      await this.outbox.move(move.from, move.to)
      return true
    }
    const message = readMessage(update, bot)
    if (!message || (await this.isAnsweredElsewhere(update, message, ctx))) return false
    await this.desk.receive(message, ctx)
    return true
  }

  async send(to: string, text: string, replyTo: string | undefined, ctx: HandlerContext): Promise<string[]> {
    if (ctx.principal.kind === 'agent' && !(await this.access.roleOf(to))) {
      throw new AgentError('forbidden', 'An agent writes to people who are paired, and to nobody else')
    }
    return this.sends.send({ to: sameConversation(to), text, replyTo }, ctx)
  }

  /** The same request is asked once by each asker in each conversation. */
  async ask(requestId: string, text: string, to: string | undefined, ctx: HandlerContext): Promise<string[]> {
    const where = to === undefined ? undefined : sameConversation(to)
    return this.sends.ask(await this.question(requestId, text, where), ctx)
  }

  /** For the conversation, or the private one of each owner. */
  private async question(requestId: string, text: string, to?: string): Promise<Question> {
    const owners = (await this.access.members()).filter(({ role }) => role === 'owner').map(({ id }) => id)
    const conversations = to === undefined ? owners : [to]
    if (conversations.length === 0) {
      throw new AgentError('not_configured', 'No owner is paired: pair one, or name one under owners in config.yaml')
    }
    return { requestId, text, buttons: approvalButtons(requestId), conversations, to }
  }

  async approve(code: string, role: Role) {
    const { member, conversation } = await this.access.approve(code, role)
    const welcome = { rich: plain(pairedWords(role)) }
    await this.outbox.put(`p${shortHash(`${member.id}/${member.since}`)}:0`, conversation, welcome)
    return member
  }

  /** `null` gives it back to the default agent. */
  async bind(conversation: string, agentId: string | null): Promise<void> {
    await this.conversations.bind(sameConversation(conversation), agentId)
  }

  /** Is it a piece of an album without words, and another piece has some, or was answered for all that have none? */
  private async isAnsweredElsewhere(update: Update, { eventId }: Message, ctx: HandlerContext): Promise<boolean> {
    const album = readAlbum(update)
    if (!album || album.hasWords) return false
    return (await this.outbox.get(`${eventId}:0`)) !== undefined || this.albums.hasWords(album.id, ctx.signal)
  }

  /** Until Telegram knows this bot; then updates come by the one way or the other. */
  private async connect(): Promise<void> {
    const { settings, self } = this
    const { signal } = this.stopping
    const { id, username } = await this.insist<Bot>('getMe', {})
    this.identity = { id, username }
    await persist(() => self.state.set(SCOPES.poll, 'bot', { id, username }))
    await this.api.call('setMyCommands', { commands: COMMANDS }, { signal }).catch((error: unknown) => {
      self.log.warn({ reason: String(error) }, 'the list of commands was not set')
    })
    const allowed = allowedUpdates(settings.edited_messages === 'answer')
    if (settings.public_url !== undefined) {
      const url = settings.public_url + WEBHOOK_PATH
      await this.insist('setWebhook', { url, secret_token: this.secrets.webhookSecret, allowed_updates: allowed })
      self.log.info({ bot: username, url }, 'Telegram delivers to the webhook')
      return
    }
    const { url } = await this.insist<{ url: string }>('getWebhookInfo', {})
    if (url !== '') await this.insist('deleteWebhook', {})
    self.log.info({ bot: username }, 'Telegram is asked for updates')
    const report = (problem: string | undefined) => this.report(problem)
    const parts = { api: this.api, state: self.state, botId: id, seconds: settings.poll_seconds, allowed, report }
    await poll({ ...parts, take: (update) => this.take(update) }, signal)
  }

  /** Calls until it works; what may be repeated. */
  private async insist<T>(method: string, params: object): Promise<T> {
    const { signal } = this.stopping
    for (let wait = BACKOFF_MS.first; ; wait = Math.min(wait * 2, BACKOFF_MS.last)) {
      try {
        const result = await this.api.call<T>(method, params, { signal })
        this.report(undefined)
        return result
      } catch (error) {
        signal.throwIfAborted()
        this.report(explained(method, error))
        const retryAfter = error instanceof BotApiError ? error.retryAfterMs : undefined
        await delay(retryAfter ?? wait, undefined, { signal })
      }
    }
  }

  private report(problem: string | undefined): void {
    if (problem !== undefined && problem !== this.problem) this.self.log.warn({ problem }, 'Telegram does not work')
    if (problem === undefined && this.problem !== undefined) this.self.log.info('Telegram works again')
    this.problem = problem
  }

  private async showTyping(conversation: string): Promise<void> {
    const { chatId, threadId } = parseConversation(conversation)
    const thread = threadId === undefined ? {} : { message_thread_id: threadId }
    await this.api.call('sendChatAction', { chat_id: chatId, ...thread, action: 'typing' })
  }

  /** Stops the button's clock; the chat itself says what happened, so this may fail. */
  private async answerPress(id: string, text: string): Promise<void> {
    try {
      await this.api.call('answerCallbackQuery', { callback_query_id: id, text: text.slice(0, CALLBACK_WORDS) })
    } catch (error) {
      this.self.log.debug({ reason: String(error) }, 'a press was not answered')
    }
  }
}

function explained(method: string, error: unknown): string {
  if (error instanceof BotApiError && error.unauthorized) {
    return 'Telegram does not know the token in TELEGRAM_BOT_TOKEN: get the present one from BotFather'
  }
  return error instanceof Error ? `${method}: ${error.message}` : `${method} failed`
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 20)
}
