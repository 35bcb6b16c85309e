import type { Principal } from '@agentos/protocol'
import type { CallContext } from '../../core/context.ts'
import type { BuiltinCall } from '../../core/module.ts'

/** What of a call's context waits with the job; deadline and key are given at each delivery. */
export interface StoredContext {
  realm: string
  principal: Principal
  onBehalfOf?: Principal
  session?: string
  run?: string
  traceId: string
  parentSpanId?: string
  baggage?: string
  labels?: readonly string[]
  chosen?: true
  agent?: string
  approval?: string
}

/** A job as it is stored, in the words of the protocol, under `job/<order>` of its group's partition. */
export interface StoredJob {
  id: string
  queue: string
  function_id: string
  data: unknown
  attempts_made: number
  /** Losses of processes that counted against it; each is one of the attempts. */
  losses?: number
  created_at: number
  /** Not before this time. Epoch milliseconds. */
  process_at?: number
  group_id?: string
  context: StoredContext
  /** Installed worker that put it there. */
  worker?: string
}

/** A dead letter, under `dead/<order>` of the partition that its job came from. */
export interface DeadLetter {
  job: StoredJob
  error: string
  /** Epoch milliseconds. */
  failed_at: number
}

/** What a queue keeps of a job in memory; the rest is read when it is delivered. */
export interface Job {
  id: string
  partition: string
  group: string
  order: number
  attempts: number
  /** That count against the guests. */
  bytes: number
  /** Reading of the monotonic clock. */
  readyAt: number
  /** Since when its function cannot be reached, and how often that was seen. */
  away?: { since: number; tries: number } | undefined
}

/** What a queue keeps of a dead letter in memory. */
export interface Dead {
  id: string
  partition: string
  group: string
  order: number
  expires: number
  /** That count against the guests. */
  bytes: number
  by: Binder
}

/** Who put a job into a queue, or bound a subscription. */
export interface Binder {
  principal: Principal
  worker?: string | undefined
}

export function binderOf({ context: { principal }, worker }: StoredJob): Binder {
  return { principal, worker }
}

/** Is this call made by whom that is of: an installed worker for itself, or the same principal? */
export function isBy(
  { principal, worker }: Binder,
  { context, caller }: Pick<BuiltinCall, 'context' | 'caller'>,
): boolean {
  const { kind, id } = context.principal
  if (worker !== undefined) return caller.worker === worker && kind !== 'guest' && kind !== 'agent'
  return principal.kind === kind && principal.id === id
}

/** Which queue: a named one, or that of a function subscribed to a topic. Data of realms never mixes. */
export type QueueId =
  | { realm: string; kind: 'named'; name: string }
  | { realm: string; kind: 'topic'; topic: string; functionId: string }

export const QUEUES = 'queue/'

/** Start of the partitions of a queue; each group has one of its own, so that what happens to a job is one batch. */
export function basePartition(id: QueueId): string {
  const parts = id.kind === 'named' ? ['named', id.name] : ['topic', id.topic, id.functionId]
  return `${QUEUES}${[id.realm, ...parts].map(encodeURIComponent).join('/')}`
}

export function groupPartition(base: string, group: string): string {
  return `${base}/g-${encodeURIComponent(group)}`
}

/** The queue and group that a partition belongs to. */
export function readPartition(partition: string): { id: QueueId; group: string } | undefined {
  if (!partition.startsWith(QUEUES)) return undefined
  const parts = partition.slice(QUEUES.length).split('/').map(decodeURIComponent)
  const group = parts.pop()?.slice('g-'.length) ?? ''
  const [realm, kind, name, functionId] = parts
  if (realm === undefined || name === undefined) return undefined
  if (kind === 'named') return { id: { realm, kind, name }, group }
  if (kind !== 'topic' || functionId === undefined) return undefined
  return { id: { realm, kind, topic: name, functionId }, group }
}

/** Under this name dead letters are listed, driven back and discarded. */
export function displayName(id: QueueId): string {
  return id.kind === 'named' ? id.name : `${id.topic}::${id.functionId}`
}

export function jobKey(order: number): string {
  return `job/${String(order).padStart(16, '0')}`
}

export function deadKey(order: number): string {
  return `dead/${String(order).padStart(16, '0')}`
}

export function storedContext(context: CallContext): StoredContext {
  const { realm, principal, onBehalfOf, session, run, traceId, parentSpanId } = context
  const { baggage, labels, chosen, agent, approval } = context
  return {
    realm,
    principal,
    traceId,
    ...(onBehalfOf === undefined ? {} : { onBehalfOf }),
    ...(session === undefined ? {} : { session }),
    ...(run === undefined ? {} : { run }),
    ...(parentSpanId === undefined ? {} : { parentSpanId }),
    ...(baggage === undefined ? {} : { baggage }),
    ...(labels === undefined ? {} : { labels }),
    ...(chosen === undefined ? {} : { chosen }),
    ...(agent === undefined ? {} : { agent }),
    ...(approval === undefined ? {} : { approval }),
  }
}
