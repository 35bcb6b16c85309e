import { join } from 'node:path'
import { claimOf, type KeyedCall, type KeyedWork, Keys } from '@agentos/keyed'
import { AgentError, type Caller, type HandlerContext, type StateWrite } from '@agentos/sdk'
import { RealmIndex } from './index/realm-index.ts'
import { type Heads, KnownHeads } from './known-heads.ts'
import { Locks } from './locks.ts'
import { keyScope } from './scopes.ts'

/** Files that stay open; beyond them those that nobody uses are closed, longest unused first. */
const MOST_OPEN = 32

/** Where one call works: one realm, and one agent in it. */
export interface Space {
  realm: string
  agentId: string
  caller: Caller
  index: RealmIndex
  /** Heads of sessions as they were last seen. */
  heads: Heads
  /** Runs one at a time under this name, for this agent. */
  exclusive<T>(name: string, work: () => Promise<T>): Promise<T>
  /** Carries the work out once for the idempotency key of the call; each time where there is none. */
  once<P, A>(input: unknown, work: KeyedWork<P, A>): Promise<A>
  /** The claim of the call's key, for work whose every write is known before. */
  claim<P, A>(input: unknown, plan: P, answer: A): { begin: StateWrite[]; end: StateWrite[] }
}

type Identity = Pick<HandlerContext, 'principal'>

/** The agent that a call is about. What a model chose reaches only the memory of the agent that it runs as. */
export function agentOf({ principal }: Identity, asked: string | undefined): string {
  if (principal.kind !== 'agent') return asked ?? 'default'
  if (asked === undefined || asked === principal.id) return principal.id
  throw new AgentError('forbidden', `The agent ${principal.id} may not touch the memory of ${asked}; leave out agentId`)
}

interface OpenIndex {
  index: Promise<RealmIndex>
  users: number
}

/** The indexes of the realms, opened at the first call of each. */
export class Spaces {
  private folder = ''
  private readonly locks = new Locks()
  private readonly keys = new Keys()
  private readonly heads = new KnownHeads()
  private readonly open = new Map<string, OpenIndex>()

  start(folder: string): void {
    this.folder = folder
  }

  /** Runs a handler in the realm of its call, for the agent it names. */
  enter<T>(ctx: HandlerContext, agentId: string | undefined, work: (space: Space) => Promise<T>): Promise<T> {
    return this.use(ctx, ctx.realm, agentOf(ctx, agentId), work, ctx)
  }

  /** `call` is what the work is done for, where that can be recognized when it comes again. */
  async use<T>(
    caller: Caller,
    realm: string,
    agentId: string,
    work: (space: Space) => Promise<T>,
    call?: KeyedCall,
  ): Promise<T> {
    const opened = this.take(realm)
    opened.users++
    try {
      const exclusive = <R>(name: string, part: () => Promise<R>) =>
        this.locks.run(JSON.stringify([realm, agentId, name]), part)
      const once = async <P, A>(input: unknown, part: KeyedWork<P, A>) =>
        call
          ? this.keys.once({ state: caller.state, scope: keyScope(agentId), call, input }, part)
          : part.carryOut(await part.plan(), false)
      const claim = <P, A>(input: unknown, plan: P, answer: A) =>
        call ? claimOf({ scope: keyScope(agentId), call, input }, plan, answer) : { begin: [], end: [] }
      const heads = this.heads.of(realm, agentId)
      return await work({ realm, agentId, caller, index: await opened.index, heads, exclusive, once, claim })
    } finally {
      opened.users--
    }
  }

  private take(realm: string): OpenIndex {
    let opened = this.open.get(realm)
    this.open.delete(realm)
    if (!opened) {
      this.closeIdle()
      opened = { index: RealmIndex.open(join(this.folder, `${encodeURIComponent(realm)}.sqlite`)), users: 0 }
      opened.index.catch(() => this.open.delete(realm))
    }
    this.open.set(realm, opened)
    return opened
  }

  private closeIdle(): void {
    for (const [realm, { index, users }] of this.open) {
      if (this.open.size < MOST_OPEN) return
      if (users > 0) continue
      this.open.delete(realm)
      void index.then((opened) => opened.close())
    }
  }

  async stop(): Promise<void> {
    const opened = [...this.open.values()]
    this.open.clear()
    for (const { index } of opened) (await index).close()
  }
}
