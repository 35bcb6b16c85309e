import { open } from '../shared/api.ts'
import { readEvents } from '../shared/events.ts'
import { isFinal, type Problem, problemOf } from '../shared/problem.ts'
import type { JournalEvent } from './journal.ts'
import { runPath } from './runs.ts'

const AGAIN_MS = 1_000

/**
 * Tells the events of a run, from its first to its last, as they are written. Where the connection is lost it is told why,
 * and taken up again after the last event that came. Ends with the run, with the signal, or where there is no such run.
 */
export async function followRun(
  id: string,
  signal: AbortSignal,
  hear: { event(event: JournalEvent): void; problem(problem: Problem): void },
): Promise<void> {
  let last = 0
  while (!signal.aborted) {
    try {
      const headers = { accept: 'text/event-stream', ...(last > 0 ? { 'last-event-id': String(last) } : {}) }
      const response = await open('GET', `${runPath(id)}/events`, undefined, { signal, headers })
      for await (const { data } of readEvents(response)) {
        if (signal.aborted) return
        // What is not numbered is no event of the run: the stream's own end.
        if (!isJournalEvent(data)) continue
        last = data.eventId
        hear.event(data)
        if (data.type === 'finished') return
      }
    } catch (error) {
      if (signal.aborted) return
      const problem = problemOf(error)
      hear.problem(problem)
      if (isFinal(problem)) return
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
  }
}

const isJournalEvent = (data: unknown): data is JournalEvent =>
  typeof data === 'object' && data !== null && 'eventId' in data && typeof data.eventId === 'number'
