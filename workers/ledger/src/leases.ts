/** Until when each open reservation is its holder's. In memory: after a restart every one gets a whole lease again. */
export class Leases {
  private readonly leaseMs: number
  private readonly now: () => number
  private readonly until = new Map<string, number>()

  constructor(leaseMs: number, now: () => number) {
    this.leaseMs = leaseMs
    this.now = now
  }

  renew(id: string): void {
    this.until.set(id, this.now() + this.leaseMs)
  }

  has(id: string): boolean {
    return this.until.has(id)
  }

  end(id: string): void {
    this.until.delete(id)
  }

  isExpired(id: string): boolean {
    return (this.until.get(id) ?? Number.POSITIVE_INFINITY) <= this.now()
  }

  expired(): string[] {
    return [...this.until.keys()].filter((id) => this.isExpired(id))
  }
}
