/** One figure of a row. `value` is what the goal and the gate are about: of a series, or of several rounds, its greatest. */
export interface Figure {
  name: string
  unit: string
  value: number
  /** Of several rounds. */
  least?: number
  p50?: number
  p95?: number
  count?: number
  goal?: number
  gate?: number
}

/** A machine that is shared with others is no reason to be red. */
const GATE = 3

/** Times of one kind, in milliseconds. */
export class Series {
  readonly name: string
  readonly goalMs: number | undefined
  readonly values: number[] = []

  constructor(name: string, goalMs?: number) {
    this.name = name
    this.goalMs = goalMs
  }

  add(ms: number): void {
    this.values.push(ms)
  }
}

export function figureOf({ name, goalMs, values }: Series): Figure {
  return {
    name,
    unit: 'ms',
    value: quantile(values, 1),
    p50: quantile(values, 0.5),
    p95: quantile(values, 0.95),
    count: values.length,
    ...(goalMs === undefined ? {} : { goal: goalMs, gate: goalMs * GATE }),
  }
}

/** One figure for those of one name, which come from several rounds. */
export function overRounds(figures: readonly Figure[]): Figure[] {
  return [...Map.groupBy(figures, ({ name }) => name).values()].map((same) => {
    const values = same.map(({ value }) => value)
    const [first] = same
    return same.length === 1 ? first! : { ...first!, value: Math.max(...values), least: Math.min(...values) }
  })
}

export function isOverGate({ value, gate }: Figure): boolean {
  return gate !== undefined && !(value <= gate)
}

/** The least value that so great a share of them does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}
