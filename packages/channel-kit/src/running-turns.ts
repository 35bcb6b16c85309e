/** A turn that runs: `signal` is aborted by a stop and by its caller. */
export interface RunningTurn {
  readonly signal: AbortSignal
  end(): void
}

/** One turn at a time in each conversation, which a stop from beside can end. */
export class RunningTurns {
  private readonly turns = new Map<string, { stop: AbortController; over: Promise<void> }>()

  /** Waits for the one before it. */
  async begin(conversation: string, signal: AbortSignal): Promise<RunningTurn> {
    for (let before = this.turns.get(conversation); before; before = this.turns.get(conversation)) await before.over
    const stop = new AbortController()
    const { promise: over, resolve } = Promise.withResolvers<void>()
    const turn = { stop, over }
    this.turns.set(conversation, turn)
    return {
      signal: AbortSignal.any([stop.signal, signal]),
      end: () => {
        this.turns.delete(conversation)
        resolve()
      },
    }
  }

  stop(conversation: string): void {
    this.turns.get(conversation)?.stop.abort()
  }
}
