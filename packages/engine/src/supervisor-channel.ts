import { hash } from 'node:crypto'
import type { KnownSecrets, SupervisedState, ToEngine, ToSupervisor } from '@agentos/protocol'
import type { Core } from './core/core.ts'
import { type DeclaredProblem, problemText } from './core/declared-triggers.ts'

/** The end of the channel that this process has, as `process` is one. */
export type ChannelEnd = Pick<NodeJS.Process, 'connected' | 'send' | 'on'>

/** What the supervisor learns of an engine that listens. */
export type UpFacts = Omit<Extract<ToSupervisor, { type: 'up' }>, 'type'>

/**
 * Connects the core with the process that started this one, where that left a channel. It listens from the first moment
 * on: what is told of secrets holds before anything is written, and what is told of workers is kept until the engine is up.
 */
export class SupervisorChannel {
  private readonly end: ChannelEnd
  private core: Core | undefined
  /** What it said last, while there is no engine to hear it. */
  private early: Record<string, SupervisedState> | undefined

  constructor(secrets: KnownSecrets, end: ChannelEnd = process) {
    this.end = end
    if (!end.send) return
    end.on('message', (message) => {
      if (!isToEngine(message)) return
      if (message.type === 'ping') this.tell({ type: 'pong' })
      else if (message.type === 'secrets') secrets.add(message.fingerprints)
      else this.hear(message.states)
    })
  }

  /** The engine listens. Processes may have connected already: they are told of behind this. */
  up(core: Core, facts: UpFacts): void {
    if (!this.end.send) return
    this.core = core
    this.tell({ type: 'up', ...facts })
    core.declared.onProblem((problem) => {
      if (core.supervision.present) this.tellProblem(problem)
    })
    this.end.on('disconnect', () => core.supervisorLost())
    if (this.early) this.hear(this.early)
  }

  private hear(states: Record<string, SupervisedState>): void {
    const { core } = this
    if (!core) {
      this.early = states
      return
    }
    const { present } = core.supervision
    core.supervision.update(states, (message) => this.tell(message))
    if (present) return
    // Its first word: what went before it is told now.
    for (const problem of core.declared.problemsOf()) this.tellProblem(problem)
    for (const { grant, metadata } of core.connections.values()) {
      if (grant.worker !== undefined && metadata.pid !== undefined) {
        core.supervision.connected(grant.worker, metadata.pid)
      }
    }
  }

  private tellProblem(problem: DeclaredProblem): void {
    this.tell({ type: 'problem', worker: problem.worker, text: problemText(problem) })
  }

  /** What it can no longer be told is dropped. */
  private tell(message: ToSupervisor): void {
    if (this.end.connected) this.end.send?.(message, undefined, undefined, () => {})
  }
}

const isToEngine = (message: unknown): message is ToEngine =>
  typeof message === 'object' && message !== null && 'type' in message

/** Of settings: enough to see that they changed, and nothing of what they say. */
export function digestsOf(settings: ReadonlyMap<string, unknown>): Record<string, string> {
  return Object.fromEntries(
    [...settings].map(([worker, given]) => [worker, hash('sha256', JSON.stringify(given ?? {}))]),
  )
}
