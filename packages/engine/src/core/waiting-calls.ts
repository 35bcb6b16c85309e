import type { Call } from './call.ts'
import type { Grant } from './connection.ts'
import { placeFor } from './place.ts'

/** All guests wait as one, in whatever realm; no realm has a space in its name. */
const GUESTS = ' guests'

interface Line {
  place: string
  /** In the order of their turns. */
  realms: Map<string, Set<Call>>
}

interface WaitingRealm {
  calls: Set<Call>
  /** Newest last; holds calls that have left, too, until they come up. */
  arrivals: Call[]
  /** When it had its turn last, or joined: who has waited longest for one comes next. */
  turn: number
}

/**
 * Calls that wait for a free or starting worker: in order within a realm, realms in turn. However many calls one realm
 * has waiting, another is served after at most one call of each. Guests, who have a part of each worker only, wait in a
 * line of their own.
 */
export class WaitingCalls {
  /** Those for one place, and the guests' for it beside them. */
  private readonly lines = new Map<string, Line>()
  private readonly realms = new Map<string, WaitingRealm>()
  private turns = 0
  size = 0

  /** Without the guests', which have a bound of their own. */
  get sizeOfOthers(): number {
    return this.size - (this.realms.get(GUESTS)?.calls.size ?? 0)
  }

  /** Does somebody wait for this place whom the call may not pass? */
  has(call: Call, place: string): boolean {
    return this.size > 0 && this.lines.has(lineOf(place, call.ofGuests))
  }

  /** The lines for these functions of whoever has this grant; a look at the fewer of both. */
  linesFor(grant: Grant, functionIds: ReadonlySet<string>): Set<string> {
    const open = new Set<string>()
    if (this.lines.size < functionIds.size) {
      for (const [name, { place }] of this.lines) {
        const id = place.slice(place.indexOf(' ') + 1)
        if (functionIds.has(id) && placeFor(grant, id) === place) open.add(name)
      }
      return open
    }
    for (const id of functionIds) {
      for (const ofGuests of [false, true]) {
        const name = lineOf(placeFor(grant, id), ofGuests)
        if (this.lines.has(name)) open.add(name)
      }
    }
    return open
  }

  /** It waits for whoever serves this place. */
  add(call: Call, place: string): void {
    call.place = place
    call.line = lineOf(place, call.ofGuests)
    const name = realmOf(call)
    const realm = this.join(name)
    realm.calls.add(call)
    realm.arrivals.push(call)
    if (realm.arrivals.length > 2 * realm.calls.size + 16) realm.arrivals = [...realm.calls]
    let line = this.lines.get(call.line)
    if (!line) {
      line = { place, realms: new Map() }
      this.lines.set(call.line, line)
    }
    const calls = line.realms.get(name)
    if (calls) calls.add(call)
    else line.realms.set(name, new Set([call]))
    this.size += 1
  }

  remove(call: Call): void {
    if (this.size === 0) return
    const name = realmOf(call)
    const line = this.lines.get(call.line)
    const calls = line?.realms.get(name)
    if (!line || !calls?.delete(call)) return
    this.size -= 1
    if (calls.size === 0) line.realms.delete(name)
    if (line.realms.size === 0) this.lines.delete(call.line)
    const realm = this.realms.get(name)!
    realm.calls.delete(call)
    if (realm.calls.size === 0) this.realms.delete(name)
  }

  /** The call in one of these lines whose turn it is. */
  next(lines: Iterable<string>): Call | undefined {
    let best: { call: Call; turn: number } | undefined
    for (const name of lines) {
      const first = this.lines.get(name)?.realms.entries().next().value
      if (!first) continue
      const [realm, calls] = first
      const { turn } = this.realms.get(realm)!
      if (!best || turn < best.turn) best = { call: calls.values().next().value!, turn }
    }
    return best?.call
  }

  /** Takes a call out because it is served: its realm has had its turn. */
  serve(call: Call): void {
    const name = realmOf(call)
    this.remove(call)
    const realm = this.realms.get(name)
    if (realm) realm.turn = ++this.turns
    const line = this.lines.get(call.line)
    const rest = line?.realms.get(name)
    if (!line || !rest) return
    line.realms.delete(name)
    line.realms.set(name, rest)
  }

  /** The newest call of the realm that has most waiting, where it gives way to this one; else nothing. */
  toDisplace(call: Call): Call | undefined {
    let largest: WaitingRealm | undefined
    for (const [name, other] of this.realms) {
      if (name === GUESTS) continue
      if (!largest || other.calls.size > largest.calls.size) largest = other
    }
    const own = this.realms.get(realmOf(call))?.calls.size ?? 0
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

function realmOf({ ofGuests, context }: Call): string {
  return ofGuests ? GUESTS : context.realm
}

/** A place has one space in it, before an id without one. */
function lineOf(place: string, ofGuests: boolean): string {
  return ofGuests ? `${place}${GUESTS}` : place
}
