import type { Span } from '../../core/spans.ts'
import { isInternal } from '../../store/trace-store.ts'

const MAX_FUNCTIONS = 1_000
const DURATIONS = 2_048

export interface CallSummary {
  invocations: {
    total: number
    success: number
    error: number
    deferred: number
    by_function: Record<string, number>
  }
  performance: Record<string, number>
}

/** Counts of calls since the start, and durations of the latest; from every span, sampled or not. */
export class CallMetrics {
  private success = 0
  private error = 0
  private readonly byFunction = new Map<string, number>()
  private readonly durations = new Float64Array(DURATIONS)
  private measured = 0

  observe(span: Span): void {
    if ((span.kind !== 'call' && span.kind !== 'trigger') || isInternal(span)) return
    if (span.status === 'error') this.error += 1
    else this.success += 1
    const count = this.byFunction.get(span.name)
    if (count !== undefined || this.byFunction.size < MAX_FUNCTIONS) this.byFunction.set(span.name, (count ?? 0) + 1)
    this.durations[this.measured % DURATIONS] = span.endMs - span.startMs
    this.measured += 1
  }

  summary(): CallSummary {
    const sorted = this.durations.slice(0, Math.min(this.measured, DURATIONS)).sort()
    const at = (quantile: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? 0
    const sum = sorted.reduce((total, duration) => total + duration, 0)
    return {
      invocations: {
        total: this.success + this.error,
        success: this.success,
        error: this.error,
        deferred: 0,
        by_function: Object.fromEntries(this.byFunction),
      },
      performance: {
        avg_duration_ms: sorted.length === 0 ? 0 : sum / sorted.length,
        p50_duration_ms: at(0.5),
        p95_duration_ms: at(0.95),
        p99_duration_ms: at(0.99),
        min_duration_ms: sorted[0] ?? 0,
        max_duration_ms: sorted.at(-1) ?? 0,
      },
    }
  }
}
