/** Work that an answer does not wait for, but the end of the process does. None of it rejects. */
export class Afterwards {
  private readonly open = new Set<Promise<void>>()

  add(work: Promise<void>): void {
    this.open.add(work)
    void work.finally(() => this.open.delete(work))
  }

  get isEmpty(): boolean {
    return this.open.size === 0
  }

  /** Resolves when everything is done that was added before. */
  async settled(): Promise<void> {
    await Promise.all(this.open)
  }
}
