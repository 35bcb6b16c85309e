import type { StepCall } from './journal.ts'
import type { ReplayReport } from './runs.ts'

/** What a replay came to, in a sentence. */
export function replayText({ ok, divergences, resultEqual, endedAt }: ReplayReport): string {
  if (ok && resultEqual === undefined) {
    const end = endedAt === undefined ? '' : `, up to step ${endedAt}, where its journal ends`
    return `The replay is the same${end}. Nothing was executed.`
  }
  if (ok) return 'The replay is the same: every step, and the result. Nothing was executed.'
  const places = divergences.map(
    ({ step, recorded, asked }) => `step ${step}: recorded ${nameOf(recorded)}, asked for ${nameOf(asked)}`,
  )
  if (resultEqual === false) places.push('the result is another one')
  return `The replay differs: ${places.join('; ')}.`
}

const nameOf = (call: StepCall | null): string => (call ? `${call.kind} ${call.name}` : 'nothing')
