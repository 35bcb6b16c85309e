import type { Call } from './call.ts'

interface WaitingRealm {
  calls: Set<Call>
  /** Newest last; holds calls that have left, too, until they come up. */
  arrivals: Call[]
  /** When it had its turn last, or joined: who has waited longest for one comes next. */
  turn: number
}

/**
 * Calls that wait for a free or starting worker: in order within a realm, realms in turn. However many calls one realm
 * has waiting, another is served after at most one call of each.
 */
export class WaitingCalls {
  /** By place, then by realm in the order of their turns. */
  private readonly lines = new Map<string, Map<string, Set<Call>>>()
  private readonly realms = new Map<string, WaitingRealm>()
  private turns = 0
  size = 0

  has(place: string): boolean {
    return this.size > 0 && this.lines.has(place)
  }

  /** It waits for whoever serves this place. */
  add(call: Call, place: string): void {
    const { context } = call.request
    call.waitsFor = place
    const realm = this.join(context.realm)
    realm.calls.add(call)
    realm.arrivals.push(call)
    if (realm.arrivals.length > 2 * realm.calls.size + 16) realm.arrivals = [...realm.calls]
    let line = this.lines.get(place)
    if (!line) {
      line = new Map()
      this.lines.set(place, line)
    }
    const calls = line.get(context.realm)
    if (calls) calls.add(call)
    else line.set(context.realm, new Set([call]))
    this.size += 1
  }

  remove(call: Call): void {
    if (this.size === 0) return
    const { context } = call.request
    const line = this.lines.get(call.waitsFor)
    const calls = line?.get(context.realm)
    if (!line || !calls?.delete(call)) return
    this.size -= 1
    if (calls.size === 0) line.delete(context.realm)
    if (line.size === 0) this.lines.delete(call.waitsFor)
    const realm = this.realms.get(context.realm)!
    realm.calls.delete(call)
    if (realm.calls.size === 0) this.realms.delete(context.realm)
  }

  /** The call for one of these places whose turn it is. */
  next(places: Iterable<string>): Call | undefined {
    let best: { call: Call; turn: number } | undefined
    for (const place of places) {
      const first = this.lines.get(place)?.entries().next().value
      if (!first) continue
      const [realm, calls] = first
      const { turn } = this.realms.get(realm)!
      if (!best || turn < best.turn) best = { call: calls.values().next().value!, turn }
    }
    return best?.call
  }

  /** Takes a call out because it is served: its realm has had its turn. */
  serve(call: Call): void {
    const { context } = call.request
    this.remove(call)
    const realm = this.realms.get(context.realm)
    if (realm) realm.turn = ++this.turns
    const line = this.lines.get(call.waitsFor)
    const rest = line?.get(context.realm)
    if (!line || !rest) return
    line.delete(context.realm)
    line.set(context.realm, rest)
  }

  /** The newest call of the realm that has most waiting, where it gives way to one more of `realm`; else nothing. */
  toDisplace(realm: string): Call | undefined {
    let largest: WaitingRealm | undefined
    for (const other of this.realms.values()) {
      if (!largest || other.calls.size > largest.calls.size) largest = other
    }
    const own = this.realms.get(realm)?.calls.size ?? 0
    if (!largest || largest.calls.size <= own + 1) return undefined
    let newest = largest.arrivals.at(-1)
    while (newest && !largest.calls.has(newest)) {
      largest.arrivals.pop()
      newest = largest.arrivals.at(-1)
    }
    return newest
  }

  /** A realm that begins to wait joins at the end of the round. */
  private join(name: string): WaitingRealm {
    let realm = this.realms.get(name)
    if (!realm) {
      realm = { calls: new Set(), arrivals: [], turn: ++this.turns }
      this.realms.set(name, realm)
    }
    return realm
  }
}
