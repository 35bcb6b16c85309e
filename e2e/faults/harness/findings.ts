import { type Figure, figureOf, isOverGate, overRounds, Series } from './figures.ts'

/** Descriptions that are kept of one kind; all are counted. */
const KEPT = 20

/** Things of one kind that should not have happened: how many, and the first of them in words. */
class Tally {
  count = 0
  readonly examples: string[] = []

  add(what: string): void {
    this.count += 1
    if (this.examples.length < KEPT && !this.examples.includes(what)) this.examples.push(what)
  }
}

/** What came out of a row, as it is written down. */
export interface Outcome {
  acknowledged: number
  lost: number
  doubled: number
  hung: number
  /** Broken promises that are none of the three. */
  wrong: number
  /** Each of the above in words. */
  examples: string[]
  figures: Figure[]
  notes: string[]
}

/** Collects what a row finds. Lost, doubled, hung and wrong must all stay empty. */
export class Findings {
  acknowledged = 0
  private readonly tallies = { lost: new Tally(), doubled: new Tally(), hung: new Tally(), wrong: new Tally() }
  private readonly series = new Map<string, Series>()
  private readonly figures: Figure[] = []
  private readonly notes: string[] = []

  /** The client was told that so many pieces of work are done or accepted. */
  acknowledge(count = 1): void {
    this.acknowledged += count
  }

  /** Acknowledged, and absent afterwards. */
  lost(what: string): void {
    this.tallies.lost.add(what)
  }

  /** One idempotency key, or one call, and two effects. */
  doubled(what: string): void {
    this.tallies.doubled.add(what)
  }

  /** Neither a result nor an error within its bound. */
  hung(what: string): void {
    this.tallies.hung.add(what)
  }

  wrong(what: string): void {
    this.tallies.wrong.add(what)
  }

  /** `wrong` unless it holds. */
  expect(holds: boolean, what: string): void {
    if (!holds) this.wrong(what)
  }

  /** A time in milliseconds. Its worst case has a goal; three times that is the gate. */
  time(name: string, ms: number, goalMs?: number): void {
    let series = this.series.get(name)
    if (!series) {
      series = new Series(name, goalMs)
      this.series.set(name, series)
    }
    series.add(ms)
  }

  /** A single figure, maybe once a round. Past `gate` the row is red; `goal` is only shown. */
  figure(name: string, value: number, unit: string, bounds: { goal?: number; gate?: number } = {}): void {
    this.figures.push({ name, unit, value, ...bounds })
  }

  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text)
  }

  outcome(): Outcome {
    const figures = [...[...this.series.values()].map(figureOf), ...overRounds(this.figures)]
    for (const figure of figures.filter(isOverGate)) {
      this.wrong(`${figure.name}: ${figure.value.toFixed(1)} ${figure.unit}, the gate is ${figure.gate} ${figure.unit}`)
    }
    const { lost, doubled, hung, wrong } = this.tallies
    return {
      acknowledged: this.acknowledged,
      lost: lost.count,
      doubled: doubled.count,
      hung: hung.count,
      wrong: wrong.count,
      examples: Object.entries(this.tallies).flatMap(([kind, { examples }]) =>
        examples.map((text) => `${kind}: ${text}`),
      ),
      figures,
      notes: this.notes,
    }
  }
}

export function isGreen(outcome: Pick<Outcome, 'lost' | 'doubled' | 'hung' | 'wrong'>): boolean {
  return outcome.lost + outcome.doubled + outcome.hung + outcome.wrong === 0
}
