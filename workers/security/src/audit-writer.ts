import { AUDIT_TYPES, type audit } from '@agentos/contracts/security'
import { AgentError, type HandlerContext, type ParsedInputOf } from '@agentos/sdk'
import type { AuditEvent } from './audit-entry.ts'

/** What the engine says of a call. */
export type AuditCall = Pick<HandlerContext, 'principal' | 'realm' | 'caller'>

/** What is to be written for a call of `security::audit`: who called is what the engine says. Throws `forbidden`. */
export function eventOf({ type, agentId, detail }: ParsedInputOf<typeof audit>, call: AuditCall): AuditEvent {
  const wanted = type ?? 'unspecified'
  const worker = workerOf(call)
  const actor = actorOf(call)
  if (actor.kind !== 'topic') assertOwn(wanted, worker)
  const isTheirs = worker === undefined && actor.kind !== 'owner'
  return { type: isTheirs ? `${actor.kind}:${wanted}` : wanted, ...whoIn(agentId ?? null, call), detail }
}

/** Of an entry: by whom, through which worker, in which realm, and about which agent, as far as the caller is believed. */
export function whoIn(agentId: string | null, call: AuditCall): Omit<AuditEvent, 'type' | 'detail'> {
  const { principal, realm } = call
  const worker = workerOf(call)
  const who = { actor: actorOf(call), realm, ...(worker === undefined ? {} : { worker }) }
  const own = principal.kind === 'agent' ? principal.id : null
  const isBelieved = agentId === null || agentId === own || worker !== undefined || who.actor.kind === 'owner'
  return isBelieved ? { ...who, agentId: agentId ?? own } : { ...who, agentId: own, claimed: { agentId } }
}

function assertOwn(type: string, worker: string | undefined): void {
  const plain = type.toLowerCase().replace(/[.:-]/g, '_')
  const owner = Object.hasOwn(AUDIT_TYPES, plain) ? AUDIT_TYPES[plain] : undefined
  if (owner === undefined || owner === worker) return
  const message = `Entries of the type ${type} are written by the worker ${owner} alone; take another type`
  throw new AgentError('forbidden', message, { details: { type, owner } })
}

/** The installed worker whose word it is: not what came by the topic. */
function workerOf(call: AuditCall): string | undefined {
  return actorOf(call).kind === 'topic' ? undefined : call.caller?.worker
}

/** This worker's own triggers run under its own name: what comes by the topic could have been published by anybody. */
function actorOf({ principal }: AuditCall): AuditEvent['actor'] {
  const { kind, id } = principal
  return kind === 'system' && id === 'security' ? { kind: 'topic', id: 'audit' } : principal
}
