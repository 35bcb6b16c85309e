import type { EngineOptions, System, SystemOptions } from '@agentos/testing'
import type { PlantedBug } from '../planted/bugs.ts'
import type { Patch } from '../planted/plant.ts'
import type { Findings } from './findings.ts'

/** One row of the matrix: a fault, and what is done and checked under it. */
export interface Row {
  /** Its number in the matrix. */
  readonly row: number
  readonly title: string
  /** How often the fault happens, in the whole form and in the one for CI. */
  readonly rounds: { full: number; short: number }
  /** What one of these rounds is, where it is not one fault: `seeds`, `frames`. @default 'rounds' */
  readonly unit?: string
  /** Put into the build that it tests, so that it can strike at an exact place. They change nothing until it does. */
  readonly instruments?: readonly Patch[]
  /** A reason why this host cannot run it, for example a tool that is not installed. */
  unavailable?(): string | undefined
  /** Makes the fault, and tells `findings` what was acknowledged and what became of it. */
  run(env: RowEnv, findings: Findings): Promise<void>
}

/** What a row is given. Everything that it starts by `env` ends with it, however it ends. */
export interface RowEnv {
  readonly short: boolean
  readonly rounds: number
  readonly seed: number
  readonly random: () => number
  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number
  /** The bug to plant where the row builds what it tests itself; the started systems have it already. */
  readonly bug: PlantedBug | undefined
  system(options: SystemOptions): Promise<System>
  engine(options?: EngineOptions): Promise<System>
  /** Runs when the row ends, the last one first. */
  cleanUp(run: () => unknown): void
  /** A folder of its own, gone when the row ends. */
  folder(): string
  /** A line for whoever watches. */
  say(text: string): void
}
