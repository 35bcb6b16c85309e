import {
  type Effects,
  EngineError,
  effectsOf,
  holdsInfinity,
  isRetryable,
  type Principal,
  payloadValue,
  TOO_LARGE_NUMBER,
} from '@agentos/protocol'
import type { Call } from './call.ts'
import type { Catalogue } from './catalogue.ts'
import type { CallContext } from './context.ts'
import type { CallResult, InvokeRequest } from './module.ts'
import type { Ports } from './ports.ts'
import type { Registry } from './registry.ts'

/** As whom the engine asks. No worker can be called that, so that nobody else's question is taken for the engine's. */
const ENGINE: Principal = { kind: 'system', id: 'engine' }
/** A gate that runs and does not answer holds a call up no longer than this. */
const ANSWER_MS = 30_000
/** What the gate itself may say; its other failures only mean that it could not be asked. */
const ANSWERS = new Set(['approval_denied', 'approval_expired', 'overloaded', 'invalid_input', 'worker_unavailable'])

/** What a worker may say of a call that it could not carry out; its other failures only mean that it did not judge it. */
const VERDICTS = new Set([
  'not_configured',
  'invalid_input',
  'not_found',
  'conflict',
  'forbidden',
  'realm_mismatch',
  'unsupported_feature',
])

/** What became of a request for approval. `unknown`: it could not be asked now. `none`: nobody will ever say. */
export type Fate =
  | { is: 'decided'; value: { decision: string; reason?: unknown } }
  | { is: 'pending'; expiresAt: number }
  | { is: 'unknown' }
  | { is: 'none' }

/** The agent on whose behalf a call runs, or whose call caused it. */
export function agentOf({ principal, agent }: CallContext): string | undefined {
  return principal.kind === 'agent' ? principal.id : agent
}

/**
 * Stands between what agents want and what is done: what a model chose, and what a call under an agent would change
 * outside, goes on only when the worker that declares the gate lets it through. Without such a worker nothing that
 * changes something outside goes on.
 */
export class Gate {
  private readonly catalogue: Catalogue
  private readonly registry: Registry
  private readonly ports: Ports

  constructor(parts: { catalogue: Catalogue; registry: Registry; ports: Ports }) {
    this.catalogue = parts.catalogue
    this.registry = parts.registry
    this.ports = parts.ports
  }

  /** What a call does to the world. The engine's own functions stay inside; what a guest says of its own is not believed. */
  effectsOf(functionId: string, input: unknown): Effects {
    const builtin = this.registry.builtin(functionId)
    if (builtin) return builtin.effects === 'read' ? 'read' : 'write'
    return effectsOf(this.catalogue.declared(functionId)?.descriptor, input)
  }

  /** The call to make before this one goes on, or nothing. Throws where it must not go on at all. */
  questionBefore(call: Call): Omit<InvokeRequest, 'onResult'> | undefined {
    const { context, functionId } = call.request
    const agentId = agentOf(context)
    if (agentId === undefined || context.approval !== undefined) return undefined
    if (!context.chosen && !this.mayReachOutside(functionId)) return undefined
    if (!this.exists(functionId, context.realm)) return undefined
    const input = readInput(call.request)
    const effects = this.effectsOf(functionId, input)
    if (effects !== 'external' && !context.chosen) return undefined
    const { gate } = this.catalogue
    if (gate === undefined) {
      if (effects === 'external') throw noGate(functionId)
      return undefined
    }
    const { caller, trigger } = call.request
    const question = {
      agentId,
      onBehalfOf: context.onBehalfOf ?? context.principal,
      functionId,
      effects,
      input,
      ...(context.run === undefined ? {} : { runId: context.run }),
      ...(context.session === undefined ? {} : { sessionId: context.session }),
      requestedBy: caller?.worker ?? trigger ?? 'client',
      ...(context.chosen ? {} : { below: true }),
    }
    return { functionId: gate, payload: { value: question }, context: this.contextBelow(call) }
  }

  /**
   * Who is asked before the gate, so that nobody approves what cannot be done: a function of the same worker, with the same
   * input. Nothing where the function names none, or the call stays inside.
   */
  checkBefore(call: Call): Omit<InvokeRequest, 'onResult'> | undefined {
    const { functionId } = call.request
    const check = this.catalogue.declared(functionId)?.descriptor.checked_by
    if (check === undefined) return undefined
    const value = readInput(call.request)
    if (this.effectsOf(functionId, value) !== 'external') return undefined
    return { functionId: check, payload: { value }, context: this.contextBelow(call) }
  }

  /** Throws what the worker says against the call; where it says nothing, the gate decides. */
  judge(result: CallResult): void {
    if (result.ok || result.lost || !VERDICTS.has(result.error.code)) return
    const { code, message, details } = result.error
    throw new EngineError(code as 'not_configured', message, { details })
  }

  /** Marks the call as covered where it was approved; throws where it may not go on. */
  pass(call: Call, result: CallResult): void {
    const { functionId } = call.request
    if (!result.ok) {
      const { code, message, details } = result.error
      if (!ANSWERS.has(code)) throw unreadable(functionId, message)
      throw new EngineError(code as 'approval_denied', message, { details })
    }
    const answer = answerOf(result)
    if (answer.allow === true) {
      if (answer.requestId !== undefined) {
        call.request.context = { ...call.request.context, approval: String(answer.requestId) }
      }
      return
    }
    if (typeof answer.requestId !== 'string') throw unreadable(functionId, 'it gave no answer that can be read')
    const { requestId, expiresAt } = answer
    throw new EngineError(
      'approval_required',
      `${functionId} waits for the approval ${requestId}; once a person has approved it, make the same call again`,
      { details: { requestId, expiresAt } },
    )
  }

  /** Asks what became of a request, and changes nothing; nothing where no worker is the gate. */
  questionAbout(requestId: string, context: CallContext): Omit<InvokeRequest, 'onResult'> | undefined {
    const { gate } = this.catalogue
    if (gate === undefined) return undefined
    const { realm, traceId, parentSpanId } = context
    return {
      functionId: gate,
      payload: { value: { requestId } },
      context: {
        realm,
        principal: ENGINE,
        traceId,
        ...(parentSpanId === undefined ? {} : { parentSpanId }),
        deadline: this.ports.clock.monotonic() + ANSWER_MS,
      },
    }
  }

  fateOf(result: CallResult): Fate {
    if (!result.ok) return result.lost || isRetryable(result.error.code) ? { is: 'unknown' } : { is: 'none' }
    const { pending, expiresAt, decision, reason } = answerOf(result)
    if (pending === true && typeof expiresAt === 'number') return { is: 'pending', expiresAt }
    if (typeof decision !== 'string') return { is: 'none' }
    return { is: 'decided', value: reason === undefined ? { decision } : { decision, reason } }
  }

  /** Can any input make it reach outside? Spares the reading of the input in nearly every call below an agent's. */
  private mayReachOutside(functionId: string): boolean {
    if (this.registry.builtin(functionId)) return false
    const effects = this.catalogue.declared(functionId)?.descriptor.effects
    return effects !== 'read' && effects !== 'write'
  }

  private exists(functionId: string, realm: string): boolean {
    return (
      this.registry.builtin(functionId) !== undefined ||
      this.catalogue.declared(functionId) !== undefined ||
      this.registry.registrations(functionId, realm).length > 0
    )
  }

  private contextBelow({ id, spanId, context }: Call): CallContext {
    const deadline = this.ports.clock.monotonic() + ANSWER_MS
    return {
      realm: context.realm,
      principal: ENGINE,
      traceId: context.traceId,
      parentSpanId: spanId,
      parent: id,
      deadline: context.deadline === undefined ? deadline : Math.min(context.deadline, deadline),
    }
  }
}

/** Reads the input once: what is judged is then what is sent, whatever another reader would make of the bytes. */
function readInput(request: InvokeRequest): unknown {
  const { payload } = request
  if (!payload) return undefined
  let value: unknown
  try {
    value = payloadValue(payload)
  } catch (cause) {
    throw new EngineError('invalid_input', `The input of ${request.functionId} is not valid JSON`, { cause })
  }
  if (holdsInfinity(value)) {
    throw new EngineError('invalid_input', `The input of ${request.functionId} holds ${TOO_LARGE_NUMBER}`)
  }
  request.payload = { value }
  return value
}

function answerOf({ payload }: CallResult & { ok: true }): Record<string, unknown> {
  const value = payloadValue(payload)
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function noGate(functionId: string): EngineError {
  const message = `${functionId} changes something outside, which agents do only with an approval; the worker approval, which asks for it, is not installed`
  return new EngineError('worker_unavailable', message, { details: { worker: 'approval', installed: false } })
}

function unreadable(functionId: string, why: string): EngineError {
  return new EngineError('worker_unavailable', `Whether ${functionId} may be called could not be asked: ${why}`)
}
