import { Counter, Gauge, type Registry } from 'prom-client'
import { SYSTEM_REALM } from '../../core/context.ts'
import type { Span } from '../../core/spans.ts'
import type { RunCounts } from '../../modules/journal/runs.ts'
import type { HttpCore } from './core-view.ts'

/** What modules count, over all realms. */
export interface SystemFacts {
  /** Runs that are open, by status and what they wait for; and those that ended since the start, by outcome. */
  runs(): RunCounts
  /** Jobs that wait or run, and dead letters. */
  jobs(): { depth: number; dead: number }
}

/** The worker that asks models, known by its credential: no other can say so of its spans. */
const ROUTER = 'llm-router'
/** A plain call names any model: past these they are counted as one. */
const MAX_MODELS = 200

/**
 * What agents do and cost, for `/metrics`: from what the engine holds itself and from spans, so no worker is asked and
 * none can hold a scrape up.
 */
export class SystemFigures {
  private readonly tokens: Counter<'model' | 'kind'>
  private readonly cost: Counter<'model'>
  private readonly models = new Set<string>()

  constructor(registry: Registry, core: HttpCore, facts: SystemFacts) {
    const registers = [registry]
    this.tokens = new Counter({
      name: 'agentos_model_tokens_total',
      help: 'Tokens that models took and gave since the start, as the providers counted them',
      labelNames: ['model', 'kind'],
      registers,
    })
    this.cost = new Counter({
      name: 'agentos_model_cost_usd_total',
      help: 'What models cost since the start, in US dollars, where their price is known',
      labelNames: ['model'],
      registers,
    })
    const gauge = (name: string, help: string, labelNames: string[], read: () => Counted[]): void => {
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset()
          for (const { labels, value } of read()) this.set(labels, value)
        },
      })
    }
    gauge('agentos_workers', 'Installed workers and others that are connected, by state', ['state'], () =>
      tally(core.workers(SYSTEM_REALM).map(({ status }) => ({ state: status }))),
    )
    gauge('agentos_runs', 'Durable runs that are open, by status and what they wait for', ['status', 'reason'], () =>
      tally(facts.runs().open),
    )
    gauge('agentos_approvals_pending', 'Runs that wait until a person decides about a call', [], () => [
      { labels: {}, value: facts.runs().open.filter(({ reason }) => reason === 'approval').length },
    ])
    gauge('agentos_queue_jobs', 'Jobs of queues and durable topics that wait or run', [], () => [
      { labels: {}, value: facts.jobs().depth },
    ])
    gauge('agentos_queue_dead_letters', 'Jobs that were given up and wait for a redrive', [], () => [
      { labels: {}, value: facts.jobs().dead },
    ])
    new Counter({
      name: 'agentos_runs_ended_total',
      help: 'Durable runs that ended since the start, by outcome',
      labelNames: ['outcome'],
      registers,
      collect() {
        this.reset()
        for (const [outcome, count] of facts.runs().ended) this.inc({ outcome }, count)
      },
    })
  }

  span({ kind, worker, attributes }: Span): void {
    if (kind !== 'worker' || worker !== ROUTER) return
    const { input_tokens, output_tokens, cost_micro_usd } = attributes
    if (![input_tokens, output_tokens, cost_micro_usd].some(isCount)) return
    const model = this.label(`${attributes.provider}/${attributes.model}`)
    if (isCount(input_tokens)) this.tokens.inc({ model, kind: 'input' }, input_tokens)
    if (isCount(output_tokens)) this.tokens.inc({ model, kind: 'output' }, output_tokens)
    if (isCount(cost_micro_usd)) this.cost.inc({ model }, cost_micro_usd / 1e6)
  }

  private label(model: string): string {
    if (this.models.size < MAX_MODELS) this.models.add(model)
    return this.models.has(model) ? model : '(other)'
  }
}

interface Counted {
  labels: Record<string, string>
  value: number
}

function tally(rows: Record<string, string>[]): Counted[] {
  const counts = new Map<string, Counted>()
  for (const labels of rows) {
    const key = JSON.stringify(labels)
    counts.set(key, { labels, value: (counts.get(key)?.value ?? 0) + 1 })
  }
  return [...counts.values()]
}

const isCount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0
