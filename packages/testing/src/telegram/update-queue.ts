import { request } from 'node:http'
import { DEFAULT_UPDATES, type Params } from './methods.ts'
import { badRequest, Refusal } from './refusal.ts'

export interface Update {
  update_id: number
  [kind: string]: unknown
}

export interface WebhookDelivery {
  updateId: number
  /** What the bot answered; 0 where it did not. */
  status: number
}

const OTHER_POLLER = 'Conflict: terminated by other getUpdates request; make sure that only one bot instance is running'
const WEBHOOK_ACTIVE =
  "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
const DELIVERY_LIMIT_MS = 10_000

/** Updates that the bot has not confirmed, and the one way on which they leave: polling or webhook. */
export class UpdateQueue {
  readonly deliveries: WebhookDelivery[] = []
  webhook: { url: string; secret: string | undefined } | undefined
  private readonly allowHttp: boolean
  private readonly retryMs: number
  private readonly delivering = new Set<string>()
  private pending: { update: Update; lane: string }[] = []
  private allowed: readonly string[] = DEFAULT_UPDATES
  private nextId: number
  private poll: { answer: () => void; refuse: (error: Refusal) => void } | undefined
  private closed = false

  constructor(options: { allowHttp: boolean; retryMs: number; firstId: number }) {
    this.allowHttp = options.allowHttp
    this.retryMs = options.retryMs
    this.nextId = options.firstId
  }

  get waiting(): Update[] {
    return this.pending.map(({ update }) => update)
  }

  /** The update's id, `undefined` where the bot did not ask for this kind. Updates of a lane are delivered in order. */
  add(kind: string, content: object, lane: string): number | undefined {
    if (!this.allowed.includes(kind)) return undefined
    const update = { update_id: this.nextId, [kind]: content }
    this.nextId += 1
    this.pending.push({ update, lane })
    this.wake()
    return update.update_id
  }

  /** Puts an update back, as if its confirmation had been lost. */
  repeat(update: Update, lane: string): void {
    this.pending.push({ update, lane })
    this.pending.sort((a, b) => a.update.update_id - b.update.update_id)
    this.wake()
  }

  async getUpdates({ offset, limit = 100, timeout = 0, allowed_updates }: Params<'getUpdates'>): Promise<Update[]> {
    if (this.webhook) throw new Refusal(409, WEBHOOK_ACTIVE)
    // The newer request wins.
    this.poll?.refuse(new Refusal(409, OTHER_POLLER))
    if (allowed_updates) this.allow(allowed_updates)
    if (offset !== undefined) this.pending = this.pending.filter(({ update }) => update.update_id >= offset)
    if (this.pending.length === 0 && timeout > 0) await this.wait(timeout * 1_000)
    return this.waiting.slice(0, limit)
  }

  setWebhook({ url, secret_token, allowed_updates, drop_pending_updates }: Params<'setWebhook'>): void {
    if (secret_token !== undefined && !/^[A-Za-z0-9_-]{1,256}$/.test(secret_token)) {
      throw badRequest('secret token contains unallowed characters')
    }
    if (allowed_updates) this.allow(allowed_updates)
    if (drop_pending_updates) this.pending = []
    if (url === '') {
      this.webhook = undefined
      return
    }
    this.assertUrl(url)
    this.poll?.refuse(new Refusal(409, 'Conflict: terminated by setWebhook request'))
    this.webhook = { url, secret: secret_token }
    this.wake()
  }

  close(): void {
    this.closed = true
    this.poll?.answer()
  }

  private assertUrl(url: string): void {
    const parsed = URL.parse(url)
    if (!parsed) throw badRequest('invalid webhook URL specified')
    if (this.allowHttp) return
    if (parsed.protocol !== 'https:') throw badRequest('bad webhook: An HTTPS URL must be provided for webhook')
    if (!['', '443', '80', '88', '8443'].includes(parsed.port)) {
      throw badRequest('bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443')
    }
  }

  /** An empty list asks for the usual kinds. */
  private allow(kinds: readonly string[]): void {
    this.allowed = kinds.length === 0 ? DEFAULT_UPDATES : kinds
  }

  private wait(ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => () => {
        clearTimeout(timer)
        if (this.poll === poll) this.poll = undefined
        settle()
      }
      const poll = { answer: () => end(resolve)(), refuse: (error: Refusal) => end(() => reject(error))() }
      const timer = setTimeout(poll.answer, ms)
      this.poll = poll
    })
  }

  private wake(): void {
    this.poll?.answer()
    if (!this.webhook) return
    for (const lane of new Set(this.pending.map((entry) => entry.lane))) void this.deliver(lane)
  }

  /** Until the bot answers 2xx, again and again: what is not confirmed is not lost. */
  private async deliver(lane: string): Promise<void> {
    if (this.delivering.has(lane)) return
    this.delivering.add(lane)
    for (;;) {
      const next = this.pending.find((entry) => entry.lane === lane)
      if (!next || !this.webhook || this.closed) break
      const status = await post(this.webhook, next.update)
      this.deliveries.push({ updateId: next.update.update_id, status })
      if (status >= 200 && status < 300) this.pending = this.pending.filter((entry) => entry !== next)
      else await new Promise((resolve) => setTimeout(resolve, this.retryMs))
    }
    this.delivering.delete(lane)
  }
}

function post({ url, secret }: { url: string; secret: string | undefined }, update: Update): Promise<number> {
  return new Promise((resolve) => {
    const body = JSON.stringify(update)
    const outgoing = request(url, {
      method: 'POST',
      agent: false,
      timeout: DELIVERY_LIMIT_MS,
      headers: {
        'content-type': 'application/json',
        'content-length': Buffer.byteLength(body),
        ...(secret === undefined ? {} : { 'x-telegram-bot-api-secret-token': secret }),
      },
    })
    outgoing.on('response', (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
      response.on('error', () => resolve(0))
    })
    outgoing.on('timeout', () => outgoing.destroy())
    outgoing.on('error', () => resolve(0))
    outgoing.end(body)
  })
}
