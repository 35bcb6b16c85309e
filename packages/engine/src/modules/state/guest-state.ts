import { GUEST_REALM } from '../../core/context.ts'
import { isOfGuests } from '../../core/guest-share.ts'
import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import type { StoreRecord } from '../../core/ports.ts'
import { statePartition } from '../../core/realms.ts'

const GUESTS = statePartition(GUEST_REALM, '')
/** Records that are read at once while they are counted: many small ones, or few large ones. */
const PAGE = { small: 1_000, large: 10 }
const SMALL_BYTES = 4_096
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
    const { clock, store } = this.host.ports
    const now = clock.monotonic()
    if (now - this.countedAt < RECOUNT_MS) return
    this.countedAt = now
    this.meanwhile = 0
    store.partitions(GUESTS, (partitions, error) => {
      if (!error) this.count(partitions, undefined, 0, PAGE.large)
    })
  }

  private count(partitions: string[], after: string | undefined, sum: number, limit: number): void {
    const [partition] = partitions
    if (partition === undefined) return this.host.guestShare.set('state_bytes', Math.max(0, sum + this.meanwhile))
    const options = { limit, ...(after === undefined ? {} : { after }) }
    this.host.ports.store.range(partition, options, (records, error) => {
      if (error) return
      const bytes = records.reduce((total, { key, value }) => total + sizeOf(key, value), 0)
      const next = bytes / Math.max(1, records.length) < SMALL_BYTES ? PAGE.small : PAGE.large
      const last = records.at(-1)?.key
      if (records.length < limit || last === undefined)
        this.count(partitions.slice(1), undefined, sum + bytes, PAGE.large)
      else this.count(partitions, last, sum + bytes, next)
    })
  }
}

function sizeOf(key: string, value: unknown): number {
  return Buffer.byteLength(key) + Buffer.byteLength(JSON.stringify(value) ?? '')
}
