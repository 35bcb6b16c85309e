import { MAX_PENDING, type Policy, type Request } from '@agentos/contracts/approval'
import { AgentError, type Caller, type StateClient } from '@agentos/sdk'
import { decisionOf, type Notice, noticesOf, type Teller } from './notices.ts'
import {
  bindingOf,
  type Decision,
  decided,
  hashOf,
  isOpen,
  isOverdue,
  newRequest,
  sameSide,
  type Wanted,
} from './request.ts'
import { type Kept, type Place, Shelf } from './shelf.ts'
import { Turns } from './turns.ts'

/** How soon somebody who could not be told of a request is told again. */
const TELL_AGAIN_MS = { first: 5_000, last: 300_000 }

/** `approved`: the call may go on with this request, which is used up now. */
export type Verdict = { request: Request; state: 'approved' | 'pending' }

/** What became of a request, for a run that waits for it. */
export type Outcome = { pending: true; expiresAt: number } | ReturnType<typeof decisionOf>

/**
 * The one queue of requests. Each step of a request is a compare-and-set on the store: of any number of decisions one
 * wins, and an approval lets one call through. Between that write and the call nothing is remembered, so that a crash there
 * costs an approval and never makes two calls of it. What somebody has to be told of a step is in the same write, until he
 * was: a crash costs nobody the news.
 */
export class Desk {
  private readonly shelf: Shelf
  private readonly teller: Teller
  private readonly now: () => number
  private readonly turns = new Turns()
  /** Who is told of a request is told by one at a time. */
  private readonly tellings = new Turns()
  private readonly notBefore = new Map<string, { tries: number; at: number }>()
  private readonly waiting = new Map<string, Set<() => void>>()

  constructor(parts: { state: StateClient; teller: Teller; now: () => number }) {
    this.shelf = new Shelf(parts.state, parts.now)
    this.teller = parts.teller
    this.now = parts.now
  }

  async open(): Promise<void> {
    await this.shelf.open()
    // Whoever was to tell of these is gone.
    for (const place of this.shelf.untold()) this.notBefore.set(nameOf(place), { tries: 0, at: this.now() })
  }

  /** Uses an approval up, or finds or opens the request for one. Throws `approval_denied`, `overloaded`. */
  async take(wanted: Wanted, policy: Policy): Promise<Verdict> {
    const verdict = await this.inTurn(wanted, async (inputHash): Promise<Verdict> => {
      for (;;) {
        const kept = await this.findOpen(wanted, inputHash)
        if (!kept) return this.openRequest(wanted, inputHash, policy)
        const { request } = kept
        if (request.status === 'denied') throw denial(request)
        if (request.status === 'pending') return { request, state: 'pending' }
        const used = { ...request, usedAt: this.now() }
        // Else it was changed meanwhile, and is looked at again: another process may have taken it.
        if (await this.change(kept, used, noticesOf.used(used))) return { request: used, state: 'approved' }
      }
    })
    await this.tell(verdict.request)
    return verdict
  }

  /** As `take`, but uses nothing up: the request that says something about this call, or a new one. */
  async look(wanted: Wanted, policy: Policy): Promise<Request> {
    const { request } = await this.inTurn(wanted, async (inputHash): Promise<Verdict> => {
      const kept = await this.findOpen(wanted, inputHash)
      return kept ? { request: kept.request, state: 'pending' } : this.openRequest(wanted, inputHash, policy)
    })
    await this.tell(request)
    return request
  }

  /** Throws `not_found`, `conflict`, `approval_expired`. `decider`: the decider's own call. */
  async decide(
    { realm, id }: Place,
    agentId: string | undefined,
    decision: Decision,
    decider?: Caller,
  ): Promise<Request> {
    for (;;) {
      const kept = await this.current(realm, id)
      if (!kept || (agentId !== undefined && kept.request.agentId !== agentId)) {
        throw new AgentError(
          'not_found',
          `There is no request ${id}; npm run agentos -- approvals lists those that are pending`,
        )
      }
      if (kept.request.status !== 'pending') throw settled(kept.request)
      const request = decided(kept.request, decision, this.now())
      if (!(await this.change(kept, request, noticesOf.decided(request)))) continue
      await this.tell(request, decider)
      return request
    }
  }

  /** What became of a request; one that nobody has is over. */
  async outcome(realm: string, id: string): Promise<Outcome> {
    const request = await this.get(realm, id)
    if (!request) return { decision: 'timed_out' }
    return request.status === 'pending' ? { pending: true, expiresAt: request.expiresAt } : decisionOf(request)
  }

  async get(realm: string, id: string): Promise<Request | undefined> {
    return (await this.current(realm, id))?.request
  }

  /** The request once it is no longer pending, or as it is when the time is over. */
  async wait(realm: string, id: string, timeoutMs: number, signal: AbortSignal): Promise<Request | undefined> {
    const end = this.now() + timeoutMs
    for (;;) {
      // Listening begins before the look: what is decided in between is not missed.
      const { changed, stop } = this.listen(realm, id)
      try {
        const request = await this.get(realm, id)
        if (request?.status !== 'pending' || this.now() >= end || signal.aborted) return request
        await sleep(Math.min(end, request.expiresAt) - this.now(), changed, signal)
      } finally {
        stop()
      }
    }
  }

  /** Newest first. */
  async list(
    realm: string,
    { agentId, status, limit }: { agentId?: string | undefined; status?: string | undefined; limit: number },
  ): Promise<Request[]> {
    const known = status === 'pending' ? this.shelf.pending(realm, agentId) : await this.shelf.all(realm)
    const mine = agentId === undefined ? known : known.filter((request) => request.agentId === agentId)
    const fresh = await Promise.all(
      mine.map((request) => (needsLook(request, this.now(), status) ? this.get(realm, request.id) : request)),
    )
    return fresh
      .filter((request) => request !== undefined)
      .filter((request) => status === undefined || request.status === status)
      .sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1))
      .slice(0, limit)
  }

  /** Ends what nobody decided or used in time, and tells what somebody was not told: by us, or by a process before us. */
  async sweep(): Promise<void> {
    for (const { realm, id } of this.shelf.overdue()) await this.current(realm, id)
    await Promise.all(this.shelf.untold().map((place) => (this.isDue(nameOf(place)) ? this.tell(place) : undefined)))
  }

  /** What was just written is being told by whoever wrote it. */
  private isDue(name: string): boolean {
    const known = this.notBefore.get(name)
    if (!known) this.notBefore.set(name, { tries: 0, at: this.now() + TELL_AGAIN_MS.first })
    return known !== undefined && known.at <= this.now()
  }

  private inTurn<T>(wanted: Wanted, work: (inputHash: string) => Promise<T>): Promise<T> {
    const inputHash = hashOf(wanted.input)
    // Turns keep two calls from opening two requests for one thing, and the count of pending ones true.
    return this.turns.run(`${wanted.realm}/${wanted.agentId}`, () => work(inputHash))
  }

  private async findOpen(wanted: Wanted, inputHash: string): Promise<Kept | undefined> {
    const found = await this.shelf.find(wanted.realm, bindingOf({ ...wanted, toolName: wanted.functionId, inputHash }))
    const kept = found && (await this.withoutOverdue(found))
    return kept && isOpen(kept.request, this.now()) ? kept : undefined
  }

  private async openRequest(wanted: Wanted, inputHash: string, policy: Policy): Promise<Verdict> {
    const { realm, agentId } = wanted
    const pending = this.shelf.pending(realm, agentId).filter((request) => sameSide(request, wanted)).length
    if (pending >= MAX_PENDING) {
      const message = `${pending} requests of agent ${agentId} on the same behalf are pending, and there are at most ${MAX_PENDING}; decide one of them first`
      throw new AgentError('overloaded', message, { details: { pending, max: MAX_PENDING } })
    }
    const request = newRequest(wanted, inputHash, policy.timeoutMs, this.now())
    await this.shelf.add(request, noticesOf.requested(request))
    return { request, state: 'pending' }
  }

  private async current(realm: string, id: string): Promise<Kept | undefined> {
    const kept = await this.shelf.read(realm, id)
    return kept && this.withoutOverdue(kept)
  }

  /** Notes that its time is over, where it is: nobody ever sees an open request that is not. */
  private async withoutOverdue(kept: Kept): Promise<Kept | undefined> {
    for (let found: Kept | undefined = kept; ; found = await this.shelf.read(kept.request.realm, kept.request.id)) {
      if (!found || !isOverdue(found.request, this.now())) return found
      const over: Request = { ...found.request, status: 'timed_out' }
      if (await this.change(found, over, noticesOf.expired(over))) await this.tell(over)
    }
  }

  private async change(kept: Kept, request: Request, notices: readonly Notice[]): Promise<boolean> {
    const changed = await this.shelf.change(kept, request, [...new Set([...kept.untold, ...notices])])
    if (changed) for (const wake of this.waiting.get(nameOf(request)) ?? []) wake()
    return changed
  }

  /** Tells what is to be told of a request, and notes that. It never fails: what was not told stays on disk. */
  private tell(place: Place, decider?: Caller): Promise<void> {
    const name = nameOf(place)
    return this.tellings.run(name, async () => {
      try {
        const kept = await this.shelf.read(place.realm, place.id)
        if (!kept || kept.untold.length === 0) return void this.notBefore.delete(name)
        const told = await Promise.all(kept.untold.map((notice) => this.isTold(kept.request, notice, decider)))
        const left = new Set(kept.untold.filter((_notice, index) => !told[index]))
        await this.noteTold(kept, left)
        if (left.size === 0) this.notBefore.delete(name)
        else this.tellLater(name)
      } catch {
        // The state cannot be read or written now.
        this.tellLater(name)
      }
    })
  }

  private async isTold(request: Request, notice: Notice, decider: Caller | undefined): Promise<boolean> {
    try {
      await this.teller.tell(request, notice, decider)
      return true
    } catch {
      return false
    }
  }

  private async noteTold(read: Kept, left: ReadonlySet<Notice>): Promise<void> {
    for (let kept: Kept | undefined = read; kept; ) {
      // What came meanwhile is to be told as well.
      const untold = kept.untold.filter((notice) => left.has(notice) || !read.untold.includes(notice))
      if (untold.length === kept.untold.length || (await this.shelf.change(kept, kept.request, untold))) return
      kept = await this.shelf.read(read.request.realm, read.request.id)
    }
  }

  private tellLater(name: string): void {
    const tries = (this.notBefore.get(name)?.tries ?? 0) + 1
    const wait = Math.min(TELL_AGAIN_MS.first * 2 ** (tries - 1), TELL_AGAIN_MS.last)
    this.notBefore.set(name, { tries, at: this.now() + wait })
  }

  private listen(realm: string, id: string): { changed: Promise<void>; stop: () => void } {
    const key = nameOf({ realm, id })
    const { promise: changed, resolve } = Promise.withResolvers<void>()
    const listeners = this.waiting.get(key) ?? new Set()
    this.waiting.set(key, listeners.add(resolve))
    const stop = (): void => {
      listeners.delete(resolve)
      if (listeners.size === 0 && this.waiting.get(key) === listeners) this.waiting.delete(key)
    }
    return { changed, stop }
  }
}

function nameOf({ realm, id }: Place): string {
  return `${realm}/${id}`
}

function needsLook(request: Request, now: number, status: string | undefined): boolean {
  return status === 'pending' || isOverdue(request, now)
}

function denial({ id, toolName, agentId, decisionReason, expiresAt }: Request): AgentError {
  const why = decisionReason === undefined ? '' : `: ${decisionReason}`
  return new AgentError('approval_denied', `A person denied ${toolName} for agent ${agentId} (${id})${why}`, {
    details: { requestId: id, expiresAt },
  })
}

function settled({ id, status, decidedBy }: Request): AgentError {
  if (status === 'timed_out') return new AgentError('approval_expired', `The time of the request ${id} is over`)
  const message = `The request ${id} was ${status} already; a decision stands`
  return new AgentError('conflict', message, { details: { requestId: id, status, decidedBy } })
}

/** Ends early where something changed or the caller left. */
async function sleep(ms: number, changed: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, Math.max(1, ms))
  signal.addEventListener('abort', () => resolve(), { once: true })
  try {
    await Promise.race([promise, changed])
  } finally {
    clearTimeout(timer)
    resolve()
  }
}
