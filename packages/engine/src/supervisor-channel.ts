import { hash } from 'node:crypto'
import type { KnownSecrets, ToEngine, ToSupervisor } from '@agentos/protocol'
import type { Core } from './core/core.ts'
import { type DeclaredProblem, problemText } from './core/declared-triggers.ts'

/**
 * Connects the core with the process that started this one, where that left a channel. Returns how to tell it something;
 * what it can no longer be told is dropped.
 */
export function listenToSupervisor(core: Core): ((message: ToSupervisor) => void) | undefined {
  if (!process.send) return undefined
  const tell = (message: ToSupervisor): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => {})
  }
  const tellProblem = (problem: DeclaredProblem): void =>
    tell({ type: 'problem', worker: problem.worker, text: problemText(problem) })
  process.on('message', (message) => {
    if (!isToEngine(message) || message.type !== 'workers') return
    // Its first word: what went before it is told now.
    if (!core.supervision.present) for (const problem of core.declared.problemsOf()) tellProblem(problem)
    core.supervision.update(message.states, tell)
  })
  core.declared.onProblem((problem) => {
    if (core.supervision.present) tellProblem(problem)
  })
  process.on('disconnect', () => core.supervisorLost())
  return tell
}

/** Of settings: enough to see that they changed, and nothing of what they say. */
export function digestsOf(settings: ReadonlyMap<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    [...settings].map(([worker, given]) => [worker, hash('sha256', JSON.stringify(given ?? {}))]),
  )
}

/** From the first moment on: what the supervisor knows of secrets comes before anything is written. */
export function learnFromSupervisor(secrets: KnownSecrets): void {
  if (!process.send) return
  process.on('message', (message) => {
    if (isToEngine(message) && message.type === 'secrets') secrets.add(message.fingerprints)
  })
}

const isToEngine = (message: unknown): message is ToEngine =>
  typeof message === 'object' && message !== null && 'type' in message
