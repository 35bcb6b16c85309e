import type { Count } from './entry.ts'

/** [realm, day, agent, model, provider, billing code, mission]; what a sum is not told apart by is null. */
type Fields = [string, string, string | null, string, string, string | null, string | null]

/** Sums that are kept; past them old days are told less finely. */
export const MOST_SUMS = 10_000
/** So many are left then, so that it is not done again at once. */
const KEPT_SUMS = 8_000

/** What an old day is told less finely by: first mission and billing code, then the day within its month, then the agent. */
const COARSER: ((fields: Fields) => Fields)[] = [
  ([realm, day, agent, model, provider]) => [realm, day, agent, model, provider, null, null],
  ([realm, day, agent, model, provider]) => [realm, `${day.slice(0, 7)}-01`, agent, model, provider, null, null],
  ([realm, day, , model, provider]) => [realm, `${day.slice(0, 7)}-01`, null, model, provider, null, null],
]

/** Folds the oldest days together where there are too many sums; no money, token or event is lost. */
export function foldOld(sums: Map<string, Count>, today: string): void {
  if (sums.size <= MOST_SUMS) return
  const days = new Map<string, string[]>()
  for (const key of sums.keys()) {
    const day = (JSON.parse(key) as Fields)[1]
    const keys = days.get(day)
    if (keys) keys.push(key)
    else days.set(day, [key])
  }
  const oldFirst = [...days.keys()].filter((day) => day < today).sort()
  for (const [level, coarser] of COARSER.entries()) {
    // Today's are only told less finely where the others are as coarse already.
    for (const day of level === 0 && days.has(today) ? [...oldFirst, today] : oldFirst) {
      if (sums.size <= KEPT_SUMS) return
      const folded = new Set<string>()
      for (const key of days.get(day)!) {
        const count = sums.get(key)
        if (!count) continue
        sums.delete(key)
        const into = JSON.stringify(coarser(JSON.parse(key) as Fields))
        sums.set(into, added(sums.get(into), count))
        folded.add(into)
      }
      days.set(day, [...folded])
    }
  }
}

export function added(before: Count | undefined, { microUsd, maybe, input, output, events }: Count): Count {
  if (!before) return { microUsd, maybe, input, output, events }
  return {
    microUsd: before.microUsd + microUsd,
    maybe: before.maybe + maybe,
    input: before.input + input,
    output: before.output + output,
    events: before.events + events,
  }
}
