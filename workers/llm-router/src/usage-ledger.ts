import type { Cost, Usage } from '@agentos/contracts/llm-router'
import type { StateClient, StateWrite, UpdateOp } from '@agentos/sdk'
import type { ModelChoice } from './catalogue.ts'

const SCOPE = 'llm-usage'
const PAGE = 200

export interface Attribution {
  agent: string | undefined
  session: string | undefined
}

/** A stored row; its counts only ever grow. */
interface UsageRow {
  provider: string
  model: string
  agent?: string
  session?: string
  input_tokens?: number
  output_tokens?: number
  requests?: number
  cached_tokens?: number
  reasoning_tokens?: number
  cost_micro_usd?: number
  unpriced_requests?: number
}

export interface UsageQuery {
  by: 'agent' | 'session' | undefined
  agent: string | undefined
  session: string | undefined
}

export type UsageStats = Required<Omit<UsageRow, 'agent' | 'session'>> & {
  realm: string
  agent?: string
  session?: string
}

/**
 * Counts each request three times in the realm's state: as a total, for its agent and for its session. Each is one
 * atomic update, so several processes count together; all of them are one call. It leaves before the first turn of the
 * event loop, so a read that is asked for later sees it; it is lost where the engine dies within the next 50 ms.
 */
export async function recordUsage(
  state: StateClient,
  { provider, model }: ModelChoice,
  usage: Usage,
  cost: Cost,
  { agent, session }: Attribution,
): Promise<void> {
  const counts: Record<string, number> = {
    requests: 1,
    input_tokens: usage.input,
    output_tokens: usage.output,
    cached_tokens: usage.cached ?? 0,
    reasoning_tokens: usage.reasoning ?? 0,
    cost_micro_usd: cost.microUsd ?? 0,
    unpriced_requests: cost.priced ? 0 : 1,
  }
  const increments = Object.entries(counts).map(([path, by]): UpdateOp => ({ type: 'increment', path, by }))
  const count = (key: string, labels: Record<string, string>): StateWrite => ({
    type: 'update',
    scope: SCOPE,
    key: `${key}/${provider}/${model}`,
    relaxed: true,
    ops: [{ type: 'merge', value: { provider, model, ...labels } }, ...increments],
  })
  await state.writeInOrder([
    count('total', {}),
    ...(agent === undefined ? [] : [count(`agent/${encodeURIComponent(agent)}`, { agent })]),
    ...(session === undefined ? [] : [count(`session/${encodeURIComponent(session)}`, { session })]),
  ])
}

export async function readUsage(state: StateClient, realm: string, query: UsageQuery): Promise<UsageStats[]> {
  const rows: UsageStats[] = []
  const prefix = prefixOf(query)
  let after: string | undefined
  do {
    const page = await state.entries<UsageRow>(SCOPE, {
      prefix,
      limit: PAGE,
      ...(after === undefined ? {} : { after }),
    })
    rows.push(...page.entries.map(({ value }) => statsOf(value, realm)))
    after = page.next
  } while (after !== undefined)
  return rows
}

function prefixOf({ by, agent, session }: UsageQuery): string {
  if (session !== undefined) return `session/${encodeURIComponent(session)}/`
  if (agent !== undefined) return `agent/${encodeURIComponent(agent)}/`
  return by === undefined ? 'total/' : `${by}/`
}

function statsOf(row: UsageRow, realm: string): UsageStats {
  return {
    provider: row.provider,
    model: row.model,
    input_tokens: row.input_tokens ?? 0,
    output_tokens: row.output_tokens ?? 0,
    requests: row.requests ?? 0,
    cached_tokens: row.cached_tokens ?? 0,
    reasoning_tokens: row.reasoning_tokens ?? 0,
    cost_micro_usd: row.cost_micro_usd ?? 0,
    unpriced_requests: row.unpriced_requests ?? 0,
    realm,
    ...(row.agent === undefined ? {} : { agent: row.agent }),
    ...(row.session === undefined ? {} : { session: row.session }),
  }
}
