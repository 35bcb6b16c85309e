import type { Principal } from '@agentos/protocol'
import type { Call } from './call.ts'
import type { CallContext } from './context.ts'
import type { Link, Timer } from './ports.ts'
import { RecentIds } from './recent-ids.ts'

/** 36 bytes each; there may be thousands of connections. */
const ANSWERED_IDS = 256

/** Who a connection is, as its credential says. */
export interface Grant {
  principal: Principal
  /** Realm of calls that name no parent. */
  realm: string
  /** Installed worker whose credential it gave. */
  worker?: string
}

/** What a worker tells of itself with `engine::workers::register`. */
export interface WorkerMetadata {
  name?: string
  description?: string
  runtime?: string
  version?: string
  os?: string
  pid?: number
  isolation?: string
  telemetry?: unknown
}

export type RegistrationKind = 'function' | 'trigger' | 'type'

/** One socket of a worker or client. Everything on it dies with it; a reconnect is a new connection. */
export class Connection {
  readonly id: string
  /** Rises with every connection of the engine; fences registrations and late results. */
  readonly epoch: number
  readonly link: Link
  readonly grant: Grant
  readonly address: string
  readonly connectedAt: number
  readonly reattachToken: string
  metadata: WorkerMetadata = {}
  /** What does not work in it, in one sentence, as it last said. */
  problem: string | undefined
  group: string | undefined
  instance: string | undefined
  features: ReadonlySet<string> = new Set()
  readonly functions = new Set<string>()
  readonly triggers = new Set<string>()
  readonly triggerTypes = new Set<string>()
  /** Calls that it executes, by the id that it was given. */
  readonly serving = new Map<string, Call>()
  /** How many of those are guests'. */
  guestsServed = 0
  /** Calls that it made and waits for, by the id that it chose. */
  readonly calling = new Map<string, Call>()
  /** Steps that it waits for, by the id that it chose: how to cancel each. They outlive it. */
  readonly steps = new Map<string, (reason: string) => void>()
  /** Ids of the latest of those that were answered: a frame that comes again is not executed again. */
  readonly answered = new RecentIds(ANSWERED_IDS)
  /** Contexts of answered calls whose handlers asked to go on. */
  readonly detached = new Map<string, { context: CallContext; timer: Timer }>()
  /** Bytes of the registrations that stand, their schemas included. */
  registeredBytes = 0
  /** Frames that it has sent: more of them than at the last look means that it does something. */
  framesReceived = 0
  /** Frames that were dropped, because they are malformed or too many. */
  framesDropped = 0
  /** It is given no calls any more and is about to be ended. */
  retired = false
  private readonly registered = new Map<string, number>()
  open = true

  constructor(init: {
    id: string
    epoch: number
    link: Link
    grant: Grant
    address: string
    connectedAt: number
    reattachToken: string
  }) {
    this.id = init.id
    this.epoch = init.epoch
    this.link = init.link
    this.grant = init.grant
    this.address = init.address
    this.connectedAt = init.connectedAt
    this.reattachToken = init.reattachToken
  }

  /** Bytes of a registration that stands. */
  bytesOf(kind: RegistrationKind, id: string): number | undefined {
    return this.registered.get(`${kind} ${id}`)
  }

  /** A registration stands with these bytes, or is gone with 0. */
  account(kind: RegistrationKind, id: string, bytes: number): void {
    const key = `${kind} ${id}`
    this.registeredBytes += bytes - (this.registered.get(key) ?? 0)
    if (bytes === 0) this.registered.delete(key)
    else this.registered.set(key, bytes)
  }

  registrations(): number {
    return this.functions.size + this.triggers.size + this.triggerTypes.size
  }

  /** Context of a call that it serves, or still may act for. */
  contextOf(invocationId: string): CallContext | undefined {
    return this.serving.get(invocationId)?.childContext() ?? this.detached.get(invocationId)?.context
  }
}
