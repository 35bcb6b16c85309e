import { hash } from 'node:crypto'
import type { Policy, Request } from '@agentos/contracts/approval'
import { canonicalJson, newId } from '@agentos/sdk'
import { preview } from './preview.ts'

/** A call that an agent wants to make. */
export interface Wanted {
  realm: string
  agentId: string
  /** Who had the agent work. */
  onBehalfOf?: Request['onBehalfOf']
  /** No model chose it: something that a model chose makes it. */
  below?: boolean | undefined
  functionId: string
  effects: Policy['effects'][number]
  input: unknown
  runId?: string | undefined
  sessionId?: string | undefined
  requestedBy: string
}

export interface Decision {
  status: 'approved' | 'denied'
  /** Who decides, as the engine knows it. */
  by: string
  note?: string | undefined
  reason?: string | undefined
}

export function hashOf(input: unknown): string {
  return hash('sha256', canonicalJson(input ?? null))
}

/**
 * What an approval is for: equal for the same call of the same agent in the same run and for the same principal, made by the
 * model or below what it chose, and for nothing else.
 */
export function bindingOf(call: Bound): string {
  const { realm, agentId, onBehalfOf, runId = null, below = false, toolName, inputHash } = call
  const principal = onBehalfOf ? [onBehalfOf.kind, onBehalfOf.id] : null
  return hash('sha256', JSON.stringify([realm, agentId, principal, runId, below, toolName, inputHash]))
}

type Bound = Pick<Request, 'realm' | 'agentId' | 'toolName' | 'inputHash'> & {
  onBehalfOf?: Request['onBehalfOf']
  runId?: string | undefined
  below?: boolean | undefined
}

/** Are these the calls of one agent for one principal? */
export function sameSide(a: Side, b: Side): boolean {
  const [one, other] = [a.onBehalfOf, b.onBehalfOf]
  return a.realm === b.realm && a.agentId === b.agentId && one?.kind === other?.kind && one?.id === other?.id
}

type Side = Pick<Request, 'realm' | 'agentId'> & { onBehalfOf?: Request['onBehalfOf'] }

export function newRequest(wanted: Wanted, inputHash: string, timeoutMs: number, now: number): Request {
  const { realm, agentId, onBehalfOf, functionId, effects, runId, sessionId, requestedBy, below } = wanted
  const shown = preview(wanted.input)
  return {
    id: newId('approval'),
    realm,
    agentId,
    ...(onBehalfOf === undefined ? {} : { onBehalfOf }),
    toolName: functionId,
    effects,
    params: shown.params,
    paramsCut: shown.cut,
    inputHash,
    reason: `Agent ${agentId} wants to call ${functionId} (${effects})`,
    ...(runId === undefined ? {} : { runId }),
    ...(sessionId === undefined ? {} : { sessionId }),
    requestedBy,
    ...(below ? { below } : {}),
    createdAt: now,
    timeoutMs,
    expiresAt: now + timeoutMs,
    status: 'pending',
  }
}

/** An approval is usable for as long again as the request was open. */
export function decided(request: Request, { status, by, note, reason }: Decision, now: number): Request {
  return {
    ...request,
    status,
    decidedBy: by,
    decidedAt: now,
    ...(status === 'approved' ? { expiresAt: now + request.timeoutMs } : {}),
    ...(note === undefined ? {} : { decidedByNote: note }),
    ...(reason === undefined ? {} : { decisionReason: reason }),
  }
}

/** Does it still say something about the next call like it? */
export function isOpen({ status, usedAt, expiresAt }: Request, now: number): boolean {
  return status !== 'timed_out' && usedAt === undefined && expiresAt > now
}

/** Is its time over without anybody having noted it? A denial stays one. */
export function isOverdue({ status, usedAt, expiresAt }: Request, now: number): boolean {
  return (status === 'pending' || (status === 'approved' && usedAt === undefined)) && expiresAt <= now
}
