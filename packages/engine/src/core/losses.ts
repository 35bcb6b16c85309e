import type { Call } from './call.ts'

/** What the end of a process means for a run or a job that was open in it. */
export interface Loss {
  /** It was handed over last, so the end counts against it. The others lose nothing but time. */
  counts: boolean
  /** A process of the same worker had been lost within the minute before. */
  repeated: boolean
}

/** So many losses in a row end a run or a job: something in it ends processes. */
export const MOST_LOSSES = 3
/** Milliseconds between two runs or jobs that are handed to a worker whose processes keep ending. */
export const STEP_MS = 1_000
/** How long what a loss counts against waits after its first and second, in milliseconds. */
const PAUSES_MS = [15_000, 30_000] as const

/** Milliseconds until it is handed over again. `losses`: that counted against it, with this one. */
export function pauseAfter(loss: Loss, losses: number): number {
  if (!loss.repeated) return 0
  return losses > 1 ? PAUSES_MS[1] : PAUSES_MS[0]
}

/**
 * Against which run or job the end of a process counts, given what was open in it in the order of the handing-over. What
 * a run or job had called in its own process counts as itself. A plain call that came last takes it upon itself, unless
 * a run or job had come within the step before the end.
 */
export function culpritOf(open: readonly Call[], now: number): Call | undefined {
  const last = open.at(-1)
  const item = open.findLast(isItem)
  if (!last || !item) return undefined
  if (last !== item) {
    const caller = behind(last, open)
    if (caller) return caller
    if (now - item.handedOverAt >= STEP_MS) return undefined
  }
  return leastSuspected(item, open)
}

/** What came within a step before the last one came at once with it: of these nobody is suspected twice in a row. */
function leastSuspected(last: Call, open: readonly Call[]): Call {
  let least = last
  for (const other of open.toReversed()) {
    const atOnce = isItem(other) && last.handedOverAt - other.handedOverAt < STEP_MS
    if (atOnce && lossesOf(other) < lossesOf(least)) least = other
  }
  return least
}

export function isItem({ request }: Call): boolean {
  return request.handover !== undefined
}

/** That counted against a run or job so far. */
export function lossesOf({ request }: Call): number {
  return request.handover?.losses ?? 0
}

/** The run or job on whose behalf a call was made, where it is open in the same process. */
function behind(call: Call, open: readonly Call[]): Call | undefined {
  for (let above: Call | undefined = call; above; above = above.parent) {
    if (isItem(above) && open.includes(above)) return above
  }
  // A step outlives the attempt that asked for it, so it names the run alone.
  const { run } = call.context
  return open.findLast((other) => other.request.attempt && isItem(other) && other.context.run === run)
}
