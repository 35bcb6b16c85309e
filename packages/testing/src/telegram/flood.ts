import { Refusal } from './refusal.ts'

/** The documented limits: a message a second in a chat, 20 a minute in a group, 30 a second in all. */
export interface FloodLimits {
  /** @default 1000 */
  chatMs?: number
  /** Messages of a group in a minute. @default 20 */
  groupPerMinute?: number
  /** @default 30 */
  perSecond?: number
}

/** Refuses what comes too fast. The real API bears short bursts; this one does not. */
export class FloodGuard {
  private readonly limits: Required<FloodLimits>
  private readonly chats = new Map<number, number[]>()
  private readonly held = new Map<number, number>()
  private all: number[] = []

  constructor(limits: FloodLimits) {
    this.limits = { chatMs: 1_000, groupPerMinute: 20, perSecond: 30, ...limits }
  }

  /** Throws 429 with the seconds to wait; until they are over, the chat is refused. */
  take(chat: number, group: boolean, now: number = Date.now()): void {
    const { chatMs, groupPerMinute, perSecond } = this.limits
    const until = this.held.get(chat) ?? 0
    if (now < until) throw tooMany(until - now)
    this.all = this.all.filter((at) => at > now - 1_000)
    const recent = (this.chats.get(chat) ?? []).filter((at) => at > now - 60_000)
    const last = recent.at(-1)
    let wait = 0
    if (this.all.length >= perSecond) wait = this.all[0]! + 1_000 - now
    if (last !== undefined && now - last < chatMs) wait = Math.max(wait, last + chatMs - now)
    if (group && recent.length >= groupPerMinute) wait = Math.max(wait, recent[0]! + 60_000 - now)
    if (wait > 0) {
      this.hold(chat, wait)
      throw tooMany(wait)
    }
    this.all.push(now)
    this.chats.set(chat, [...recent, now])
  }

  hold(chat: number, ms: number): void {
    this.held.set(chat, Date.now() + Math.ceil(ms / 1_000) * 1_000)
  }
}

function tooMany(ms: number): Refusal {
  const seconds = Math.max(1, Math.ceil(ms / 1_000))
  return new Refusal(429, `Too Many Requests: retry after ${seconds}`, seconds)
}
