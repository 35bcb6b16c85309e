import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import {
  type ConfigEntry,
  type Person,
  type RecordedRequest,
  type Script,
  type SimulatedAnswer,
  type Simulator,
  type System,
  startOpenAiSimulator,
  startSystem,
  startTelegramSimulator,
  type TelegramOptions,
  type TelegramSimulator,
} from '@agentos/testing'
import { expect } from 'vitest'
import { NO_LOCAL_MODELS } from './all-workers.ts'

export const ADA: Person = { id: 1001, first_name: 'Ada' }
export const BOB: Person = { id: 1002, first_name: 'Bob' }
export const EVE: Person = { id: 1003, first_name: 'Eve' }
/** On a machine that is busy with other things too. */
export const WAIT = { timeout: 30_000 }
export const WEBHOOK_SECRET = 'a-secret-of-the-webhook_0123456789'
/** So that tests take no time; one with the documented limits has its own simulator. */
export const NO_LIMITS = { chatMs: 0, groupPerMinute: 100_000, perSecond: 100_000 }

export interface Installation {
  telegram: TelegramSimulator
  model: Simulator
  system: System
  door: Door | undefined
  stop(): Promise<void>
}

export interface InstallationOptions {
  webhook?: boolean
  settings?: Record<string, unknown>
  telegram?: TelegramOptions
  /** @default the token of the simulator, and the secret where there is a webhook */
  secrets?: Record<string, string>
  workers?: string[]
  /** Environment of the other workers, and their entries of config.yaml. */
  workerEnv?: Record<string, Record<string, string>>
  entries?: ConfigEntry[]
}

/** A real system with the Telegram channel, a simulated Telegram and a simulated model that echoes. */
export async function install(options: InstallationOptions = {}): Promise<Installation> {
  const telegram = await startTelegramSimulator({ limits: NO_LIMITS, ...options.telegram })
  const model = await startOpenAiSimulator(echo)
  const door = options.webhook ? await Door.open() : undefined
  const settings = {
    api_base: telegram.url,
    owners: [ADA.id],
    users: [BOB.id, EVE.id],
    chat_interval_ms: 0,
    group_interval_ms: 0,
    stream_interval_ms: 150,
    poll_seconds: 5,
    request_timeout_ms: 3_000,
    ...(door ? { public_url: door.url } : {}),
    ...options.settings,
  }
  const secrets = options.secrets ?? {
    TELEGRAM_BOT_TOKEN: telegram.token,
    ...(door ? { TELEGRAM_WEBHOOK_SECRET: WEBHOOK_SECRET } : {}),
  }
  const workers = options.workers ?? ['agent-core', 'llm-router', 'memory', 'security', 'channel-telegram']
  const router = {
    name: 'llm-router',
    config: {
      default: 'sim/test-model',
      providers: { sim: { baseUrl: model.url, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' } },
    },
  }
  const system = await startSystem({
    workers,
    env: NO_LOCAL_MODELS,
    workerEnv: { 'llm-router': { OPENAI_API_KEY: 'test-key' }, 'channel-telegram': secrets, ...options.workerEnv },
    config: {
      workers: [
        { name: 'channel-telegram', config: settings },
        ...(workers.includes(router.name) ? [router] : []),
        ...(options.entries ?? []),
      ],
    },
  })
  door?.leadTo(new URL(system.httpUrl).port)
  return {
    telegram,
    model,
    system,
    door,
    stop: async () => {
      await telegram.close()
      await system.stop()
      await model.close()
      await door?.close()
    },
  }
}

/** `re: <what was said last>`. */
export const echo: Script = (request) => ({ text: `re: ${lastSaid(request)}` })

/** Answers as `special` says for these messages, else as an echo. */
export function except(special: Record<string, SimulatedAnswer>): Script {
  return (request) => special[lastSaid(request)] ?? { text: `re: ${lastSaid(request)}` }
}

export function lastSaid({ body }: RecordedRequest): string {
  const messages = body.messages as { role: string; content: unknown }[]
  const { content } = messages.findLast(({ role }) => role === 'user')!
  return typeof content === 'string' ? content : (content as { text: string }[]).map(({ text }) => text).join('')
}

/** How often the model was asked this. */
export function asked({ model }: Installation, message: string): number {
  return model.requests.filter((request) => lastSaid(request) === message).length
}

/** What the bot wrote into a chat, in time. */
export async function expectTexts({ telegram }: Installation, chatId: number, texts: string[]): Promise<void> {
  await expect.poll(() => telegram.texts(chatId), WAIT).toEqual(texts)
}

/** Echoes of this message. */
export function answers({ telegram }: Installation, chatId: number, message: string): string[] {
  return telegram.texts(chatId).filter((text) => text === `re: ${message}`)
}

let lastMark = 0

/** A text that was not used before: a test that is tried again is not to find what its first try left. */
export function fresh(text: string): string {
  lastMark += 1
  return `${text}-${lastMark}`
}

let lastPerson = 5_000

/** Somebody nobody has seen before. */
export function stranger(first_name = 'Stranger'): Person {
  lastPerson += 1
  return { id: lastPerson, first_name }
}

/** Somebody who was let in. */
export async function member(at: Installation, role: 'user' | 'owner' = 'user'): Promise<Person> {
  const person = stranger('Member')
  at.telegram.say(person, 'hello?')
  await expect.poll(() => at.telegram.texts(person.id).length, WAIT).toBe(1)
  const [, code] = /code is (\S+)\./.exec(at.telegram.texts(person.id)[0]!)!
  const { status } = await owner(at, 'POST', '/v1/channels/telegram/pairings', { code, role })
  expect(status).toBe(200)
  await expect.poll(() => at.telegram.texts(person.id).length, WAIT).toBe(2)
  return person
}

export function owner<T = unknown>(at: Installation, method: string, path: string, body?: unknown) {
  return at.system.api<T>(method, path, body, { owner: true })
}

/** What the bot said to somebody after their pairing. */
export function heard(at: Installation, person: Person): string[] {
  return at.telegram.texts(person.id).slice(2)
}

export async function expectHeard(at: Installation, person: Person, texts: string[]): Promise<void> {
  await expect.poll(() => heard(at, person), WAIT).toEqual(texts)
}

export interface OutboxView {
  id: string
  conversation: string
  state: string
  text: string
  reason: string | null
}

export async function outbox({ system }: Installation, state?: string): Promise<OutboxView[]> {
  const query = state === undefined ? '' : `?state=${state}`
  const { body } = await system.api<{ messages: OutboxView[] }>(
    'GET',
    `/v1/channels/telegram/outbox${query}`,
    undefined,
    {
      owner: true,
    },
  )
  return body.messages
}

/** The public address of the system: a way in that is known before the system has its port. */
export class Door {
  readonly url: string
  /** Answers that are swallowed: the request gets through, its answer does not come back. */
  swallow = 0
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  private target = 0

  private constructor(server: Server) {
    this.server = server
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', (socket: Socket) => this.pass(socket))
  }

  static open(): Promise<Door> {
    const server = createServer()
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', () => resolve(new Door(server)))
    })
  }

  leadTo(port: string): void {
    this.target = Number(port)
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }

  private pass(client: Socket): void {
    this.sockets.add(client)
    client.on('error', () => client.destroy())
    if (this.target === 0) return void client.destroy()
    const inner = connect(this.target, '127.0.0.1')
    inner.on('error', () => client.destroy())
    client.on('close', () => {
      this.sockets.delete(client)
      inner.destroy()
    })
    client.pipe(inner)
    inner.on('data', (data) => {
      if (this.swallow === 0) return void client.write(data)
      this.swallow -= 1
      client.destroy()
    })
    inner.on('end', () => client.end())
  }
}
