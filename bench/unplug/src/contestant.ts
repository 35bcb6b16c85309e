/** How a run ended, as the system says. */
export type Ending =
  | { how: 'finished'; answer: string }
  | { how: 'failed'; error: string }
  /** It stands still and asks a person. */
  | { how: 'parked'; question: string }

/** One of the systems that are compared, with the processes that it consists of. */
export interface Contestant {
  readonly name: string
  /** Starts all its processes, and again those that were killed, as its authors advise. Resolves when it takes work. */
  start(): Promise<void>
  /**
   * What a caller does who wants this task done: asks for it, and once more under the same id after a crash. Resolves
   * with how it ended; rejects when it lost sight of it.
   */
  run(task: string): Promise<Ending>
  /** kill -9; `share`, 0 to 1, chooses what is hit where there are several processes. Resolves with what was. */
  kill(share: number): Promise<string>
  /** What a person does about a parked run, who has looked whether the effect took place. */
  settle?(task: string, tookPlace: boolean): Promise<Ending>
  stop(): Promise<void>
}
