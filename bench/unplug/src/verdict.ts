import type { Ending } from './contestant.ts'
import { answerOf, STEPS, toolOf } from './task.ts'
import type { Seen } from './world.ts'

/** What became of one run, by what the world saw and what the system said. */
export interface Verdict {
  task: string
  /** What was killed, and when. */
  killed: string
  ended: 'finished' | 'parked' | 'failed' | 'stuck'
  /** What the system said where it did not finish by itself. */
  said?: string
  /** After a person answered the question of a parked run. */
  afterAnswer?: 'finished' | 'parked' | 'failed' | 'stuck'
  modelRequestsOver: number
  toolRequestsOver: number
  /** Effects beyond the first of a step. */
  doubled: { charge: number; notify: number }
  /** It said that it was done, and an effect is missing, of a wrong kind, or the answer is another. */
  silentlyWrong: boolean
  log: string[]
}

export interface Run {
  task: string
  killed: string
  ending: Ending | 'stuck'
  settled?: Ending | 'stuck' | undefined
  seen: Seen
}

export function verdictOf({ task, killed, ending, settled, seen }: Run): Verdict {
  const last = settled ?? ending
  const done = last !== 'stuck' && last.how === 'finished'
  const toolSteps = STEPS - 1
  return {
    task,
    killed,
    ended: howOf(ending),
    ...(ending !== 'stuck' && ending.how !== 'finished'
      ? { said: firstLine(ending.how === 'failed' ? ending.error : ending.question) }
      : {}),
    ...(settled === undefined ? {} : { afterAnswer: howOf(settled) }),
    // A run that ended early made fewer than it should; that is no saving.
    modelRequestsOver: Math.max(0, seen.modelRequests - STEPS),
    toolRequestsOver: Math.max(0, seen.toolRequests - toolSteps),
    doubled: { charge: doubledOf(seen, 'charge'), notify: doubledOf(seen, 'notify') },
    silentlyWrong: done && (last.answer !== answerOf(task) || hasWrongEffects(seen)),
    log: seen.log,
  }
}

/** Without the stack, which names folders of this machine. */
const firstLine = (text: string) => text.split('\n', 1)[0]!

const howOf = (ending: Ending | 'stuck') => (ending === 'stuck' ? ending : ending.how)

function doubledOf(seen: Seen, tool: string): number {
  const steps = seen.effects.filter((effect) => effect.tool === tool).map(({ step }) => step)
  return steps.length - new Set(steps).size
}

/** Something that should have happened did not, or something happened that nobody asked for. */
function hasWrongEffects({ effects }: Seen): boolean {
  const expected = Array.from({ length: STEPS - 1 }, (_, index) => index + 1).filter(
    (step) => toolOf(step) !== 'look_up',
  )
  const missing = expected.some((step) => !effects.some((effect) => effect.step === step))
  return missing || effects.some(({ tool, step }) => step >= STEPS || tool !== toolOf(step))
}
