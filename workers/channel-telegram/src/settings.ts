import * as z from 'zod'

const UserId = z.union([z.int().transform(String), z.string().regex(/^\d{1,20}$/, 'a user id is a number')])
const LOOPBACK = new Set(['127.0.0.1', 'localhost', '[::1]'])

/** An address without secrets in it; plain HTTP stays on this machine, because the bot's token travels in it. */
const Address = z.string().transform((text, ctx) => {
  const url = URL.parse(text)
  const problem = !url
    ? 'is not an address'
    : url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== ''
      ? 'must hold no user, password, query or fragment'
      : url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.has(url.hostname))
        ? undefined
        : 'must begin with https:// (http:// only on this machine)'
  if (problem === undefined) return text.replace(/\/+$/, '')
  ctx.addIssue({ code: 'custom', message: problem })
  return z.NEVER
})

/** `config:` of the worker's entry in config.yaml. */
export const Settings = z.strictObject({
  /** The Bot API, or a server of one's own that speaks it. */
  api_base: Address.default('https://api.telegram.org'),
  /** Where Telegram reaches this system (`https://bot.example.com`); without one it is asked for updates. */
  public_url: Address.optional(),
  /** The realm whose agents answer; chats, people and messages belong to it. */
  realm: z.string().min(1).max(128).default('realm-default'),
  /** Who answers where nobody else is bound. */
  agent: z.string().min(1).max(128).default('default'),
  /** User ids that are let in without pairing. */
  owners: z.array(UserId).default([]),
  users: z.array(UserId).default([]),
  /** Show answers while they are written, by edits. */
  stream: z.boolean().default(true),
  /** Between two such edits. */
  stream_interval_ms: z.int().min(100).max(60_000).default(1_500),
  edited_messages: z.enum(['ignore', 'answer']).default('ignore'),
  /** How long a request for updates waits for one. */
  poll_seconds: z.int().min(1).max(50).default(30),
  /** Between two requests for a private chat, and for a group: Telegram wants no more than one a second, or 20 a minute. */
  chat_interval_ms: z.int().min(0).max(60_000).default(1_000),
  group_interval_ms: z.int().min(0).max(60_000).default(3_000),
  request_timeout_ms: z.int().min(500).max(120_000).default(20_000),
})
export type Settings = z.output<typeof Settings>

/** What identifies the bot, and what proves that a delivery is Telegram's. */
export interface Secrets {
  token: string | undefined
  webhookSecret: string | undefined
}

/** Blank values count as unset. */
export function readSecrets(env: NodeJS.ProcessEnv = process.env): Secrets {
  const read = (name: string) => env[name]?.trim() || undefined
  return { token: read('TELEGRAM_BOT_TOKEN'), webhookSecret: read('TELEGRAM_WEBHOOK_SECRET') }
}

/** Names of settings without which nothing can be done, or that Telegram would refuse. */
export function missingSettings(settings: Settings, { token, webhookSecret }: Secrets): string[] {
  const missing: string[] = []
  if (token === undefined) missing.push('TELEGRAM_BOT_TOKEN')
  else if (!/^\d+:[A-Za-z0-9_-]{20,}$/.test(token))
    missing.push('TELEGRAM_BOT_TOKEN (as BotFather gave it: 123456:ABC…)')
  if (settings.public_url === undefined) return missing
  if (webhookSecret === undefined) missing.push('TELEGRAM_WEBHOOK_SECRET')
  else if (!/^[A-Za-z0-9_-]{16,256}$/.test(webhookSecret)) {
    missing.push('TELEGRAM_WEBHOOK_SECRET (16 to 256 letters, digits, _ and -)')
  }
  return missing
}
