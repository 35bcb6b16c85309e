import type { Request } from '@agentos/contracts/approval'
import { InvocationError, type StateClient } from '@agentos/sdk'
import type { Notice } from './notices.ts'
import { bindingOf, isOpen, isOverdue } from './request.ts'

const SCOPE = 'approvals'
const PAGE = 500
/** How long a request is kept after it came. */
const KEPT_MS = 7 * 24 * 3_600_000

export interface Kept {
  request: Request
  /** What somebody still has to be told of it. */
  untold: readonly Notice[]
  version: number
}

/** As it is stored: what is to be told is written together with what happened. */
type Stored = Request & { untold?: readonly Notice[] }

/** Where a request is. */
export type Place = Pick<Request, 'realm' | 'id'>

/**
 * The requests on disk, and an index of the open ones in memory. The index only says where to look: what a request is,
 * the store says, and it takes a change only of what was read.
 */
export class Shelf {
  private readonly state: StateClient
  private readonly now: () => number
  private readonly byId = new Map<string, Request>()
  private readonly byBinding = new Map<string, string>()
  private readonly untoldByKey = new Map<string, Place>()

  constructor(state: StateClient, now: () => number) {
    this.state = state
    this.now = now
  }

  async open(): Promise<void> {
    for await (const kept of this.pages('')) this.note(kept)
  }

  async read(realm: string, id: string): Promise<Kept | undefined> {
    const key = keyOf(realm, id)
    const entry = await this.state.getWithVersion<Stored>(SCOPE, key)
    if (!entry) {
      this.drop(key)
      this.untoldByKey.delete(key)
      return undefined
    }
    const kept = keptOf(entry)
    this.note(kept)
    return kept
  }

  /** The request that was opened last for this very call, if it may still say something. */
  async find(realm: string, binding: string): Promise<Kept | undefined> {
    const id = this.byBinding.get(binding)
    return id === undefined ? undefined : this.read(realm, id)
  }

  /** Writes a new request. Where its end is not known it is looked for under its id from then on. */
  async add(request: Request, untold: readonly Notice[]): Promise<void> {
    this.note({ request, untold })
    await this.write(request, untold, 0)
    // Somebody may have looked for it meanwhile, and not found it.
    this.note({ request, untold })
  }

  /** Changes what was read; `false` where somebody else changed it first. */
  async change({ version }: Kept, request: Request, untold: readonly Notice[]): Promise<boolean> {
    try {
      await this.write(request, untold, version)
    } catch (error) {
      if (error instanceof InvocationError && error.code === 'version_conflict') return false
      throw error
    }
    this.note({ request, untold })
    return true
  }

  /** Those of which somebody still has to be told something. */
  untold(): Place[] {
    return [...this.untoldByKey.values()]
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
      const { entries, next } = await this.state.entries<Stored>(SCOPE, options)
      for (const entry of entries) yield keptOf(entry)
      if (next === undefined) return
      after = next
    }
  }

  private async write(request: Request, untold: readonly Notice[], expectedVersion: number): Promise<void> {
    const ttlMs = Math.max(request.expiresAt, request.createdAt) + KEPT_MS - this.now()
    const stored: Stored = untold.length === 0 ? request : { ...request, untold }
    await this.state.set(SCOPE, keyOf(request.realm, request.id), stored, { expectedVersion, ttlMs })
  }

  private note({ request, untold }: Pick<Kept, 'request' | 'untold'>): void {
    const key = keyOf(request.realm, request.id)
    if (untold.length === 0) this.untoldByKey.delete(key)
    else this.untoldByKey.set(key, { realm: request.realm, id: request.id })
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

function keptOf({ value: { untold = [], ...request }, version }: { value: Stored; version: number }): Kept {
  return { request, untold, version }
}

function isOver({ status, usedAt }: Request): boolean {
  return status === 'timed_out' || usedAt !== undefined
}

/** The id of a realm has no slash: what belongs to another is never found. */
function keyOf(realm: string, id: string): string {
  return `${realm}/${id}`
}
