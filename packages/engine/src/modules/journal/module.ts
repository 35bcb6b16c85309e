import type { EngineModule, ModuleHost } from '../../core/module.ts'
import { ANSWER_BYTES } from '../answer-size.ts'
import type { OpenWriter } from '../traces/watch.ts'
import { RunDesk } from './desk.ts'
import { EventReaders } from './events.ts'
import { Retention } from './retention.ts'
import { type RunCounts, Runs } from './runs.ts'

export interface JournalModuleOptions {
  /** How long a run is kept after its end, in milliseconds. @default 7 days */
  keptMs?: number
  /** Takes the writing end of a channel; without it runs cannot be followed. */
  openWriter?: OpenWriter
  /** Bytes of an answer that grows with the runs; pages end there, and a whole run is refused. @default 8 MiB */
  maxAnswerBytes?: number
}

const WEEK_MS = 7 * 24 * 3_600_000

/**
 * Durable runs: a call of a durable function is written down, its steps are answered from its journal or made by the
 * engine itself, and it goes on after the death of its process or of the engine.
 */
export function createJournalModule(options: JournalModuleOptions = {}): EngineModule & { counts(): RunCounts } {
  let started: Runs | undefined
  let retention: Retention | undefined
  return {
    name: 'journal',
    start(host: ModuleHost): void {
      const runs = new Runs(host)
      started = runs
      host.onDurable((call) => runs.take(call))
      host.onStep((request) => runs.step(request))
      const { openWriter, maxAnswerBytes = ANSWER_BYTES } = options
      const events = openWriter && new EventReaders(host, runs, openWriter)
      new RunDesk({ host, runs, events, maxAnswerBytes }).serve()
      retention = new Retention(host, options.keptMs ?? WEEK_MS)
      runs.load()
    },
    counts: () => started?.counts() ?? { open: [], ended: new Map() },
    stop(): void {
      started?.stop()
      retention?.stop()
    },
  }
}
