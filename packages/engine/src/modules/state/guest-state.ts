import { GUEST_REALM } from '../../core/context.ts'
import { isOfGuests } from '../../core/guest-share.ts'
import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import type { StoreRecord } from '../../core/ports.ts'
import { statePartition } from '../../core/realms.ts'

const GUESTS = statePartition(GUEST_REALM, '')
/** Records that are read at once while they are counted, and their bytes. */
const PAGE = { limit: 1_000, maxBytes: 1024 * 1024 }
/** What expired is noticed by counting anew, which a refusal asks for at most so often. */
const RECOUNT_MS = 60_000

/**
 * Bytes of state that the guests' realm holds, and of what guests have on its way to the disk. Whoever writes there is
 * counted; only guests are refused.
 */
export class GuestState {
  private readonly host: ModuleHost
  private countedAt = Number.NEGATIVE_INFINITY
  /** Of writes that were made while it was counted. */
  private meanwhile = 0

  constructor(host: ModuleHost) {
    this.host = host
    this.recount()
  }

  /** A value is about to be written. Throws where that is too much; `ended` says whether it was. */
  begin(
    call: BuiltinCall,
    partition: string,
    key: string,
    old: StoreRecord | undefined,
    value: unknown,
  ): (ok: boolean) => void {
    const { guestShare } = this.host
    const ofGuests = isOfGuests(call.context)
    const counted = partition.startsWith(GUESTS)
    if (!ofGuests && !counted) return () => {}
    const bytes = value === undefined ? 0 : sizeOf(key, value)
    const growth = counted ? bytes - (old ? sizeOf(key, old.value) : 0) : 0
    if (ofGuests && growth > 0 && guestShare.heldOf('state_bytes') + growth > guestShare.limits.state_bytes) {
      this.recount()
      throw guestShare.refusal('state_bytes')
    }
    if (ofGuests) guestShare.take('writing_bytes', bytes)
    this.grow(growth)
    return (ok) => {
      if (ofGuests) guestShare.give('writing_bytes', bytes)
      if (!ok) this.grow(-growth)
    }
  }

  private grow(bytes: number): void {
    const { guestShare } = this.host
    guestShare.set('state_bytes', Math.max(0, guestShare.heldOf('state_bytes') + bytes))
    this.meanwhile += bytes
  }

  private recount(): void {
    const { clock } = this.host.ports
    const now = clock.monotonic()
    if (now - this.countedAt < RECOUNT_MS) return
    this.countedAt = now
    this.meanwhile = 0
    this.countAll(undefined, 0)
  }

  private countAll(after: string | undefined, sum: number): void {
    const options = after === undefined ? {} : { after }
    this.host.ports.store.partitions(GUESTS, options, (partitions, error, next) => {
      if (error) return
      this.count(partitions, undefined, sum, (all) => {
        if (next !== undefined) return this.countAll(next, all)
        this.host.guestShare.set('state_bytes', Math.max(0, all + this.meanwhile))
      })
    })
  }

  private count(partitions: string[], after: string | undefined, sum: number, done: (sum: number) => void): void {
    const [partition, ...others] = partitions
    if (partition === undefined) return done(sum)
    const options = { ...PAGE, ...(after === undefined ? {} : { after }) }
    this.host.ports.store.range(partition, options, (records, error, next) => {
      if (error) return
      const all = records.reduce((total, { key, value }) => total + sizeOf(key, value), sum)
      if (next === undefined) this.count(others, undefined, all, done)
      else this.count(partitions, next, all, done)
    })
  }
}

function sizeOf(key: string, value: unknown): number {
  return Buffer.byteLength(key) + Buffer.byteLength(JSON.stringify(value) ?? '')
}
