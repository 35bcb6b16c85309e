/** The latest ids of a bounded number: enough to know a frame that comes again soon after its answer. */
export class RecentIds {
  private readonly limit: number
  private readonly ids = new Set<string>()

  constructor(limit: number) {
    this.limit = limit
  }

  has(id: string): boolean {
    return this.ids.has(id)
  }

  add(id: string): void {
    this.ids.add(id)
    if (this.ids.size <= this.limit) return
    const [oldest] = this.ids
    this.ids.delete(oldest as string)
  }
}
