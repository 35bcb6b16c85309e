import type { Request } from '@agentos/contracts/approval'
import { InvocationError, type StateClient } from '@agentos/sdk'
import { bindingOf, isOpen, isOverdue } from './request.ts'

const SCOPE = 'approvals'
const PAGE = 500
/** How long a request is kept after it came. */
const KEPT_MS = 7 * 24 * 3_600_000

export interface Kept {
  request: Request
  version: number
}

/**
 * The requests on disk, and an index of the open ones in memory. The index only says where to look: what a request is,
 * the store says, and it takes a change only of what was read.
 */
export class Shelf {
  private readonly state: StateClient
  private readonly now: () => number
  private readonly byId = new Map<string, Request>()
  private readonly byBinding = new Map<string, string>()

  constructor(state: StateClient, now: () => number) {
    this.state = state
    this.now = now
  }

  async open(): Promise<void> {
    for await (const { request } of this.pages('')) if (!isOver(request)) this.note(request)
  }

  async read(realm: string, id: string): Promise<Kept | undefined> {
    const entry = await this.state.getWithVersion<Request>(SCOPE, keyOf(realm, id))
    if (!entry) {
      this.drop(keyOf(realm, id))
      return undefined
    }
    this.note(entry.value)
    return { request: entry.value, version: entry.version }
  }

  /** The request that was opened last for this very call, if it may still say something. */
  async find(realm: string, binding: string): Promise<Kept | undefined> {
    const id = this.byBinding.get(binding)
    return id === undefined ? undefined : this.read(realm, id)
  }

  /** Writes a new request. Where its end is not known it is looked for under its id from then on. */
  async add(request: Request): Promise<void> {
    this.note(request)
    await this.write(request, 0)
    // Somebody may have looked for it meanwhile, and not found it.
    this.note(request)
  }

  /** Changes what was read; `false` where somebody else changed it first. */
  async change({ version }: Kept, request: Request): Promise<boolean> {
    try {
      await this.write(request, version)
    } catch (error) {
      if (error instanceof InvocationError && error.code === 'version_conflict') return false
      throw error
    }
    this.note(request)
    return true
  }

  pending(realm: string, agentId?: string): Request[] {
    const now = this.now()
    return [...this.byId.values()].filter(
      (request) =>
        request.realm === realm &&
        (agentId === undefined || request.agentId === agentId) &&
        request.status === 'pending' &&
        request.expiresAt > now,
    )
  }

  /** Those whose time is over; what no longer says anything is forgotten on the way. */
  overdue(): Request[] {
    const now = this.now()
    const found: Request[] = []
    for (const [key, request] of this.byId) {
      if (isOverdue(request, now)) found.push(request)
      else if (!isOpen(request, now)) this.drop(key)
    }
    return found
  }

  /** All requests of a realm that are kept. */
  async all(realm: string): Promise<Request[]> {
    const found: Request[] = []
    for await (const { request } of this.pages(`${realm}/`)) found.push(request)
    return found
  }

  private async *pages(prefix: string): AsyncGenerator<Kept> {
    for (let after: string | undefined; ; ) {
      const options = { prefix, limit: PAGE, ...(after === undefined ? {} : { after }) }
      const { entries, next } = await this.state.entries<Request>(SCOPE, options)
      for (const { value, version } of entries) yield { request: value, version }
      if (next === undefined) return
      after = next
    }
  }

  private async write(request: Request, expectedVersion: number): Promise<void> {
    const ttlMs = Math.max(request.expiresAt, request.createdAt) + KEPT_MS - this.now()
    await this.state.set(SCOPE, keyOf(request.realm, request.id), request, { expectedVersion, ttlMs })
  }

  private note(request: Request): void {
    const key = keyOf(request.realm, request.id)
    if (isOver(request)) return this.drop(key)
    this.byId.set(key, request)
    const binding = bindingOf(request)
    const known = this.byId.get(keyOf(request.realm, this.byBinding.get(binding) ?? ''))
    // An older request that is looked at does not take the place of the one that counts.
    if (!known || known.createdAt <= request.createdAt) this.byBinding.set(binding, request.id)
  }

  private drop(key: string): void {
    const request = this.byId.get(key)
    if (!request) return
    this.byId.delete(key)
    const binding = bindingOf(request)
    if (this.byBinding.get(binding) === request.id) this.byBinding.delete(binding)
  }
}

function isOver({ status, usedAt }: Request): boolean {
  return status === 'timed_out' || usedAt !== undefined
}

/** The id of a realm has no slash: what belongs to another is never found. */
function keyOf(realm: string, id: string): string {
  return `${realm}/${id}`
}
