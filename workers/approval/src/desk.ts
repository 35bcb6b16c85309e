import { MAX_PENDING, type Policy, type Request } from '@agentos/contracts/approval'
import { AgentError, type StateClient } from '@agentos/sdk'
import { bindingOf, type Decision, decided, hashOf, isOpen, isOverdue, newRequest, type Wanted } from './request.ts'
import { type Kept, Shelf } from './shelf.ts'
import { Turns } from './turns.ts'

/** Hears what became of a request, after that is on disk. */
export interface Listener {
  requested(request: Request): Promise<void>
  used(request: Request): Promise<void>
  expired(request: Request): Promise<void>
}

/** `approved`: the call may go on with this request, which is used up now. */
export type Verdict = { request: Request; state: 'approved' | 'pending' }

/**
 * The one queue of requests. Each step of a request is a compare-and-set on the store: of any number of decisions one
 * wins, and an approval lets one call through. Between that write and the call nothing is remembered, so that a crash there
 * costs an approval and never makes two calls of it.
 */
export class Desk {
  private readonly shelf: Shelf
  private readonly listener: Listener
  private readonly now: () => number
  private readonly turns = new Turns()
  private readonly waiting = new Map<string, Set<() => void>>()

  constructor(parts: { state: StateClient; listener: Listener; now: () => number }) {
    this.shelf = new Shelf(parts.state, parts.now)
    this.listener = parts.listener
    this.now = parts.now
  }

  open(): Promise<void> {
    return this.shelf.open()
  }

  /** Uses an approval up, or finds or opens the request for one. Throws `approval_denied`, `overloaded`. */
  async take(wanted: Wanted, policy: Policy): Promise<Verdict> {
    const { verdict, after } = await this.inTurn(wanted, async (inputHash) => {
      const kept = await this.findOpen(wanted, inputHash)
      if (!kept) return this.openRequest(wanted, inputHash, policy)
      const { request } = kept
      if (request.status === 'denied') throw denial(request)
      if (request.status === 'pending') return { verdict: { request, state: 'pending' as const }, after: undefined }
      const used = { ...request, usedAt: this.now() }
      // Another process was faster: what it took is gone.
      if (!(await this.change(kept, used))) return this.openRequest(wanted, inputHash, policy)
      return { verdict: { request: used, state: 'approved' as const }, after: () => this.listener.used(used) }
    })
    await after?.()
    return verdict
  }

  /** As `take`, but uses nothing up: the request that says something about this call, or a new one. */
  async look(wanted: Wanted, policy: Policy): Promise<Request> {
    const { verdict, after } = await this.inTurn(wanted, async (inputHash) => {
      const kept = await this.findOpen(wanted, inputHash)
      if (!kept) return this.openRequest(wanted, inputHash, policy)
      return { verdict: { request: kept.request, state: 'pending' as const }, after: undefined }
    })
    await after?.()
    return verdict.request
  }

  /** Throws `not_found`, `conflict`, `approval_expired`. */
  async decide(realm: string, id: string, agentId: string | undefined, decision: Decision): Promise<Request> {
    const kept = await this.current(realm, id)
    if (!kept || (agentId !== undefined && kept.request.agentId !== agentId)) {
      throw new AgentError('not_found', `There is no request ${id}; agentos approvals lists those that are pending`)
    }
    if (kept.request.status !== 'pending') throw settled(kept.request)
    const request = decided(kept.request, decision, this.now())
    if (await this.change(kept, request)) return request
    const now = await this.current(realm, id)
    throw settled(now?.request ?? kept.request)
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

  /** Ends what nobody decided or used in time. */
  async sweep(): Promise<void> {
    for (const { realm, id } of this.shelf.overdue()) await this.current(realm, id)
  }

  private inTurn<T>(wanted: Wanted, work: (inputHash: string) => Promise<T>): Promise<T> {
    const inputHash = hashOf(wanted.input)
    // Turns keep two calls from opening two requests for one thing, and the count of pending ones true.
    return this.turns.run(`${wanted.realm}/${wanted.agentId}`, () => work(inputHash))
  }

  private async findOpen(wanted: Wanted, inputHash: string): Promise<Kept | undefined> {
    const { realm, agentId, functionId: toolName, runId } = wanted
    const found = await this.shelf.find(realm, bindingOf({ realm, agentId, toolName, runId, inputHash }))
    const kept = found && (await this.withoutOverdue(found))
    return kept && isOpen(kept.request, this.now()) ? kept : undefined
  }

  private async openRequest(wanted: Wanted, inputHash: string, policy: Policy) {
    const { realm, agentId } = wanted
    const pending = this.shelf.pending(realm, agentId).length
    if (pending >= MAX_PENDING) {
      const message = `${pending} requests of agent ${agentId} are pending, and there are at most ${MAX_PENDING}; decide one of them first`
      throw new AgentError('overloaded', message, { details: { pending, max: MAX_PENDING } })
    }
    const request = newRequest(wanted, inputHash, policy.timeoutMs, this.now())
    await this.shelf.add(request)
    return { verdict: { request, state: 'pending' as const }, after: () => this.listener.requested(request) }
  }

  private async current(realm: string, id: string): Promise<Kept | undefined> {
    const kept = await this.shelf.read(realm, id)
    return kept && this.withoutOverdue(kept)
  }

  /** Notes that its time is over, where it is: nobody ever sees an open request that is not. */
  private async withoutOverdue(kept: Kept): Promise<Kept | undefined> {
    const { request } = kept
    if (!isOverdue(request, this.now())) return kept
    const over: Request = { ...request, status: 'timed_out' }
    if (await this.change(kept, over)) await this.listener.expired(over)
    return this.shelf.read(request.realm, request.id)
  }

  private async change(kept: Kept, request: Request): Promise<boolean> {
    const changed = await this.shelf.change(kept, request)
    if (changed) for (const wake of this.waiting.get(`${request.realm}/${request.id}`) ?? []) wake()
    return changed
  }

  private listen(realm: string, id: string): { changed: Promise<void>; stop: () => void } {
    const key = `${realm}/${id}`
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
