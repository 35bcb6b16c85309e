import type { Effects } from './frames.ts'

/**
 * What is known of an installed worker without running it: the manifest (`iii.worker.yaml`) and its contracts with
 * their JSON Schemas, joined at build time into `dist/workers/<name>.json`. The engine reads these files at start;
 * the worker registers the same from its own copy.
 */
export interface WorkerDescriptor {
  name: string
  version: string
  description: string
  start: 'always' | 'on-demand'
  /** Processes that may serve at once; 1 where the worker keeps an index of its own. */
  instances: number
  /** Cap of the process in MB. */
  memoryMb: number
  /** Environment variables the process gets, with their defaults; an empty default means "only where set". */
  env: Record<string, string>
  /** Names that are passed too, and whose values are redacted wherever something is written. */
  secrets: string[]
  /** State scopes, streams and topics that only this worker touches; a trailing `*` matches any rest. */
  owns: { scopes: string[]; streams: string[]; topics: string[] }
  /** Owned scopes that are kept once for the whole installation, not per realm. */
  systemScopes: string[]
  /** The system scope whose records are the realms: the key is the id, `status` says what they may be used for. */
  realmRegistry?: string
  /** Its function that the engine asks before a call of an agent goes on; at most one worker has one. */
  gate?: string
  /** May act in a realm other than the call's (`ctx.inRealm`). */
  entersRealms: boolean
  /** Runs the loop of agents: within a call that it serves it may say for which agent, session and run it calls. */
  speaksForAgents?: boolean
  dependencies: string[]
  functions: FunctionDescriptor[]
  triggers: TriggerDescriptor[]
}

/**
 * Who reaches a function. `guest`: everybody who may call at all. `owner`: the owner, and installed workers on their own
 * or a person's behalf, never what a model chose. `agent`: those, and what a model chose for an agent with the grant.
 */
export type Access = 'guest' | 'agent' | 'owner'

export interface FunctionDescriptor {
  id: string
  summary: string
  request_format: unknown
  response_format: unknown
  /** `varies` where it depends on the input; `effects_by` says how. */
  effects: Effects | 'varies'
  effects_by?: EffectsRule
  idempotent: boolean
  /** Repeating it under the same idempotency key is harmless: the function recognizes the key. */
  keyed?: boolean
  /** The engine keeps a journal for its calls: each is a run that survives its process (see ARCHITECTURE.md). */
  durable?: boolean
  /** Another function of the worker, a read that takes the same input: fails where this one could not do its work. */
  checked_by?: string
  tool: boolean
  access: Access
  http: HttpBinding[]
}

/** Effects that depend on one field of the input, a text. */
export interface EffectsRule {
  field: string
  cases: Record<string, Effects>
  /** Where the field is absent. */
  absent: Effects
  /** Where it holds anything else. */
  otherwise: Effects
  /**
   * A record of the input in which one of these names, whatever its case, says what is really done, whatever `field` says:
   * then it is `otherwise`.
   */
  overridden_by?: { field: string; names: readonly string[] }
}

/** What a call with this input does to the world; what nobody described counts as `external`. */
export function effectsOf(fn: Pick<FunctionDescriptor, 'effects' | 'effects_by'> | undefined, input: unknown): Effects {
  if (!fn) return 'external'
  if (fn.effects !== 'varies') return fn.effects
  const rule = fn.effects_by
  if (!rule) return 'external'
  const { field, overridden_by: override } = rule
  const given = isRecord(input) ? input : {}
  if (override && holdsName(given[override.field], override.names)) return rule.otherwise
  const value = given[field]
  if (value === undefined) return rule.absent
  return typeof value === 'string' && Object.hasOwn(rule.cases, value) ? rule.cases[value]! : rule.otherwise
}

function holdsName(record: unknown, names: readonly string[]): boolean {
  if (!isRecord(record)) return false
  const wanted = names.map((name) => name.toLowerCase())
  return Object.keys(record).some((name) => wanted.includes(name.trim().toLowerCase()))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

export interface HttpBinding {
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Full path with `:name` parameters, for example `/v1/realms/:id`. */
  path: string
  /** Status of a success, 200 unless told. */
  status: number
  /** The handler gets the protocol's request object and answers with the protocol's response object. */
  raw: boolean
  /** Answers as server-sent events when the input's `stream` is true: the engine passes a channel writer as `stream`. */
  stream: boolean
}

export interface TriggerDescriptor {
  type: string
  function_id: string
  config: unknown
}
