import type { AgentFunction } from '@agentos/contracts/agent-core'
import type { HandlerContext } from '@agentos/sdk'
import { mayUse } from './grants.ts'

/** At most this many functions are offered to a model at once; `agent::find_functions` finds the others. */
export const MAX_OFFERED = 40

/** Letters of a schema, or of a description, of a function that nobody installed: what a model reads is paid for. */
const MAX_TOLD = 8_000

interface ListedFunction {
  function_id: string
  worker_name: string
  /** Told by the engine: the engine itself or a manifest describes it. */
  installed?: boolean
  description: string | null
  request_format: unknown
  metadata: unknown
}

export interface CatalogueEntry extends AgentFunction {
  /** Only then its schema may be run: what anybody else says of a function is text. */
  installed: boolean
  /** Marked as fit for a model by its contract, or registered by a plain worker that marks nothing. */
  tool: boolean
}

/** As `engine::functions::list` answers who names the version that it has. */
type Listed = { version?: string } & ({ unchanged: true } | { unchanged?: undefined; functions: ListedFunction[] })

/** What the engine listed last for each realm; it is the same for every principal, but for what no agent is granted. */
const kept = new Map<string, { version: string; entries: CatalogueEntry[] }>()
/** Realms whose list is kept: one has a few hundred functions with their schemas. */
const MAX_KEPT = 32

/** The last look for each realm that has not ended: the next one waits for it. */
const looking = new Map<string, Promise<unknown>>()

/**
 * Every function that an agent could be granted, as the engine lists them now; fetched where that has changed. A list may
 * have megabytes, so of many chats at once one fetches it, and the others hear that nothing has changed since.
 */
export function readCatalogue(caller: Pick<HandlerContext, 'trigger' | 'realm'>): Promise<CatalogueEntry[]> {
  const { realm } = caller
  const before = looking.get(realm) ?? Promise.resolve()
  const look = before.then(
    () => fetchCatalogue(caller),
    () => fetchCatalogue(caller),
  )
  looking.set(realm, look)
  const ended = (): void => void (looking.get(realm) === look && looking.delete(realm))
  look.then(ended, ended)
  return look
}

async function fetchCatalogue(caller: Pick<HandlerContext, 'trigger' | 'realm'>): Promise<CatalogueEntry[]> {
  const { realm } = caller
  const before = kept.get(realm)
  const listed = await caller.trigger<Listed>({
    function_id: 'engine::functions::list',
    payload: { since: before?.version ?? '' },
  })
  if (listed.unchanged) return before?.entries ?? []
  const entries = entriesOf(listed.functions)
  if (listed.version !== undefined) keep(realm, { version: listed.version, entries })
  return entries
}

function keep(realm: string, list: { version: string; entries: CatalogueEntry[] }): void {
  kept.delete(realm)
  kept.set(realm, list)
  const [oldest] = kept.keys()
  if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest)
}

function entriesOf(functions: readonly ListedFunction[]): CatalogueEntry[] {
  return functions.flatMap((fn) => {
    const metadata = record(fn.metadata)
    if (metadata.access === 'owner' || metadata.internal === true) return []
    const installed = fn.installed === true
    return [
      {
        id: fn.function_id,
        ...(installed ? described(fn) : told(fn)),
        worker: fn.worker_name,
        installed,
        effects: typeof metadata.effects === 'string' ? metadata.effects : 'external',
        tool: metadata.tool === true || (metadata.tool === undefined && !isBuiltin(fn.worker_name)),
      },
    ]
  })
}

/** The functions that these grants allow. */
export function granted(
  catalogue: readonly CatalogueEntry[],
  capabilities: Parameters<typeof mayUse>[1],
  narrowed?: readonly string[] | null,
): CatalogueEntry[] {
  return catalogue.filter((entry) => mayUse(entry.id, capabilities, narrowed))
}

/** Those to offer for this message: fit for a model, the most relevant first where there are too many. */
export function offered(entries: readonly CatalogueEntry[], message: string): CatalogueEntry[] {
  const fit = entries.filter((entry) => entry.tool)
  return fit.length <= MAX_OFFERED ? fit : rank(fit, message).slice(0, MAX_OFFERED)
}

/** Ordered by how many words of the query stand in id and description; finding functions stays on top. */
export function rank<T extends { id: string; description: string }>(entries: readonly T[], query: string): T[] {
  const words = wordsOf(query)
  return entries
    .map((entry, index) => ({ entry, index, score: relevance(entry, words) }))
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .map(({ entry }) => entry)
}

function relevance(entry: { id: string; description: string }, words: ReadonlySet<string>): number {
  if (entry.id === 'agent::find_functions') return Number.POSITIVE_INFINITY
  const inId = wordsOf(entry.id)
  const inText = wordsOf(entry.description)
  let score = 0
  for (const word of words) score += (inId.has(word) ? 3 : 0) + (inText.has(word) ? 1 : 0)
  return score
}

function wordsOf(text: string): Set<string> {
  return new Set(text.toLowerCase().match(/[\p{L}\p{N}]{3,}/gu) ?? [])
}

function isBuiltin(worker: string): boolean {
  return worker === 'engine' || worker.startsWith('iii-')
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

type Description = Pick<AgentFunction, 'description' | 'inputSchema'>

function described({ description, request_format }: ListedFunction): Description {
  return { description: description ?? '', inputSchema: objectSchema(request_format) }
}

/** What is too long is cut: of a schema that is too long the beginning is told in words. */
function told(fn: ListedFunction): Description {
  const { description, inputSchema } = described(fn)
  const schema = JSON.stringify(inputSchema)
  if (schema.length <= MAX_TOLD) return { description: description.slice(0, MAX_TOLD), inputSchema }
  const beginning = `The JSON Schema of its input begins with: ${schema.slice(0, MAX_TOLD / 2)}`
  return { description: `${description.slice(0, MAX_TOLD / 2)}\n${beginning}`, inputSchema: objectSchema(null) }
}

function objectSchema(format: unknown): Record<string, unknown> {
  const schema = record(format)
  return schema.type === 'object' ? schema : { type: 'object', properties: {} }
}
