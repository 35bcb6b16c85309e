import { EngineError } from '@agentos/protocol'
import type { CallContext } from './context.ts'
import { isGuests } from './guest-powers.ts'
import { overloaded } from './overload.ts'

/** Bounds of all guests together, named as under `agentos: guests: limits:` in config.yaml. */
export interface GuestLimits {
  /** Calls in flight. */
  in_flight: number
  /** HTTP requests in flight, streams among them. */
  requests: number
  /** Channels that were made and have not ended. */
  channels: number
  /** Sockets of the workers' port, those of channels among them; and as many again of HTTP. */
  connections: number
  /** Bytes of state in their realm, keys and values. */
  state_bytes: number
  /** Bytes of values that are on their way to the disk. */
  writing_bytes: number
  /** Functions, triggers and trigger types. */
  registrations: number
  /** Bytes of one registration: description, schemas and metadata. */
  registration_bytes: number
  /** Bytes of all their registrations: who reads the list of functions holds them all. */
  described_bytes: number
  /** Bytes of jobs that their queues hold, dead letters among them. */
  queued_bytes: number
  /** Schedules. */
  schedules: number
  /** Spans that they send, in a minute: what is beyond is dropped. */
  spans_per_minute: number
  /** Deadline of a call that names none, in milliseconds. */
  call_ms: number
  /** Share of the engine's time that what they send over the bus may take, in percent. */
  engine_percent: number
}

export const DEFAULT_GUEST_LIMITS: GuestLimits = {
  in_flight: 2_000,
  requests: 256,
  channels: 256,
  connections: 1_000,
  state_bytes: 64 * 1024 * 1024,
  writing_bytes: 8 * 1024 * 1024,
  registrations: 2_000,
  registration_bytes: 64 * 1024,
  described_bytes: 8 * 1024 * 1024,
  queued_bytes: 64 * 1024 * 1024,
  schedules: 20,
  spans_per_minute: 6_000,
  call_ms: 60_000,
  engine_percent: 25,
}

/**
 * Does what this grant or context does count against the bounds of the guests? Also what a guest's worker does while it
 * serves somebody else's call, in whatever realm.
 */
export function isOfGuests(caller: Pick<CallContext, 'realm' | 'principal'>): boolean {
  return caller.principal.kind === 'guest' || isGuests(caller)
}

/** What can be held, in words, and whether waiting helps: what ends by itself, against what somebody has to take away. */
const BOUNDS = {
  in_flight: { what: 'calls in flight', passes: true },
  requests: { what: 'HTTP requests in flight', passes: true },
  channels: { what: 'channels', passes: true },
  connections: { what: 'connections', passes: true },
  writing_bytes: { what: 'bytes of state on their way to the disk', passes: true },
  state_bytes: { what: 'bytes of state', passes: false },
  registrations: { what: 'registrations', passes: false },
  described_bytes: { what: 'bytes of registrations', passes: false },
  queued_bytes: { what: 'bytes of jobs', passes: true },
  schedules: { what: 'schedules', passes: false },
} as const satisfies Partial<Record<keyof GuestLimits, { what: string; passes: boolean }>>

export type GuestBound = keyof typeof BOUNDS

/** What all guests together hold, each kind below its bound: the share of everybody else is never given to them. */
export class GuestShare {
  readonly limits: GuestLimits
  private readonly held = new Map<GuestBound, number>()

  constructor(limits: Partial<GuestLimits> = {}) {
    this.limits = { ...DEFAULT_GUEST_LIMITS, ...limits }
  }

  /** Counts `amount` more. Throws, and counts nothing, where that passes the bound. */
  take(bound: GuestBound, amount = 1): void {
    const held = this.heldOf(bound)
    if (held + amount > this.limits[bound]) throw this.refusal(bound)
    this.held.set(bound, held + amount)
  }

  give(bound: GuestBound, amount = 1): void {
    this.held.set(bound, this.heldOf(bound) - amount)
  }

  /** For what is counted elsewhere, bound or no bound. */
  set(bound: GuestBound, held: number): void {
    this.held.set(bound, held)
  }

  heldOf(bound: GuestBound): number {
    return this.held.get(bound) ?? 0
  }

  refusal(bound: GuestBound): EngineError {
    const { what, passes } = BOUNDS[bound]
    const limit = this.limits[bound]
    const setting = `agentos.guests.limits.${bound}`
    const message = `All guests together may have ${limit} ${what} (${setting} in config.yaml)`
    if (passes)
      return overloaded(`${message}; try again when some have ended, or use the owner token`, { setting, limit })
    const next = 'take some away, or use the owner token'
    return new EngineError('quota_exceeded', `${message}; ${next}`, { details: { setting, limit } })
  }

  /** Each bound with what is held now. */
  use(): { bound: GuestBound; held: number; limit: number }[] {
    return (Object.keys(BOUNDS) as GuestBound[]).map((bound) => ({
      bound,
      held: this.heldOf(bound),
      limit: this.limits[bound],
    }))
  }
}
