import type { Member, OutboxEntry } from '@agentos/channel-kit'
import * as contract from '@agentos/contracts/channel-telegram'
import { AgentError, defineWorker, type HandlerContext, on, serve } from '@agentos/sdk'
import { missingSettings, readSecrets, Settings } from './settings.ts'
import { Telegram, TOPIC } from './telegram.ts'

/** As the manifest declares it. A chat may take five minutes. */
const QUEUE = {
  type: 'fifo',
  messageGroupField: 'lane',
  concurrency: 32,
  maxRetries: 12,
  backoffDelayMs: 500,
  visibilityTimeout: 900,
}

let opened: Telegram | undefined
let missing: string[] = []

export const worker = defineWorker({
  name: 'channel-telegram',
  settings: Settings,
  start: async (self) => {
    const settings = self.config
    const { token, webhookSecret } = readSecrets()
    missing = missingSettings(settings, { token, webhookSecret })
    if (token === undefined || missing.length > 0) return self.log.warn({ missing }, whatIsMissing())
    opened = new Telegram(self, settings, { token, webhookSecret })
    await opened.open()
  },
  stop: () => opened?.stop(),
  functions: [
    serve(contract.webhook, async ({ headers, body }) => {
      const channel = telegram()
      if (!channel.isGenuine(headers)) {
        return { status_code: 401, body: { error: 'Missing or invalid webhook signature' } }
      }
      await channel.take(body)
      return { status_code: 200, body: { ok: true as const } }
    }),
    serve(contract.receive, async ({ event }, ctx) => ({ handled: await telegram().receive(event, ctx) })),
    serve(contract.check, (_input, ctx) => {
      telegram(ctx)
      return { ok: true as const }
    }),
    serve(contract.send, async ({ to, text, replyTo }, ctx) => ({
      ids: await telegram(ctx).send(to, text, replyTo ?? undefined, ctx),
    })),
    serve(contract.ask, async ({ requestId, text, to }, ctx) => ({
      ids: await telegram(ctx).ask(requestId, text, to ?? undefined, ctx),
    })),
    serve(contract.status, async () => {
      const open = (await opened?.outbox.list()) ?? []
      const count = (...states: OutboxEntry['state'][]) => open.filter(({ state }) => states.includes(state)).length
      return {
        mode: opened?.mode ?? ('off' as const),
        bot: opened?.bot ?? null,
        missing,
        problem: opened?.problem ?? null,
        failed: count('failed'),
        inDoubt: count('in_doubt'),
        waiting: count('pending', 'sending'),
      }
    }),
    serve(contract.outbox, async ({ state }, ctx) => ({
      messages: (await telegram(ctx).outbox.list(state ?? undefined)).map(messageView),
    })),
    serve(contract.resolve, async ({ id, as }, ctx) => messageView(await telegram(ctx).outbox.resolve(id, as))),
    serve(contract.pairings, async (_input, ctx) => {
      const pairings = await telegram(ctx).access.pairings()
      return { pairings: pairings.map(({ id: userId, name, code, expiresAt }) => ({ userId, name, code, expiresAt })) }
    }),
    serve(contract.approve, async ({ code, role }, ctx) => memberView(await telegram(ctx).approve(code, role))),
    serve(contract.members, async (_input, ctx) => ({
      members: (await telegram(ctx).access.members()).map(memberView),
    })),
    serve(contract.revoke, async ({ userId }, ctx) => ({ revoked: await telegram(ctx).access.revoke(userId) })),
    serve(contract.bind, async ({ conversation, agentId }, ctx) => {
      await telegram(ctx).bind(conversation, agentId)
      return { conversation, agentId }
    }),
    serve(contract.unbind, async ({ conversation }, ctx) => {
      await telegram(ctx).bind(conversation, null)
      return { conversation }
    }),
    serve(contract.bindings, async (_input, ctx) => ({ bindings: await telegram(ctx).conversations.bound() })),
  ],
  triggers: [on('durable:subscriber', contract.receive, { topic: TOPIC, queue_config: QUEUE })],
})

/**
 * Without its settings the worker runs, says what is missing, and does nothing. `ctx` is that of a call by a person, an
 * agent or a worker, who reaches the channel of their own realm alone.
 */
function telegram(ctx?: HandlerContext): Telegram {
  if (!opened) throw new AgentError('not_configured', whatIsMissing())
  if (ctx && ctx.realm !== opened.realm) {
    throw new AgentError('realm_mismatch', `Telegram serves the realm ${opened.realm}: call from within that`)
  }
  return opened
}

function whatIsMissing(): string {
  return `Telegram is off. Set ${missing.join(' and ')} in .env beside config.yaml, then start the worker again`
}

function memberView({ id, name, role, since }: Member) {
  return { userId: id, name, role, since }
}

function messageView({ content, id, conversation, state, messageId, reason, createdAt, updatedAt }: OutboxEntry) {
  return { id, conversation, text: content.rich.text, state, messageId, reason, createdAt, updatedAt }
}

if (import.meta.main) await worker.run()
