import { type Effects, type EffectsRule, effectsOf, type FunctionDescriptor, payloadValue } from '@agentos/protocol'
import type { Catalogue } from './catalogue.ts'
import type { InvokeRequest } from './module.ts'
import type { Registration, Registry } from './registry.ts'

/** What is known of a function that decides how its calls may be treated. */
export type FunctionFacts = Pick<FunctionDescriptor, 'effects' | 'effects_by' | 'idempotent' | 'keyed' | 'durable'>

/**
 * As the engine or a manifest declares it; of an id that nobody owns, as who registered it says, or `had`: who served
 * the call and may be gone.
 */
export function factsOf(
  functionId: string,
  realm: string,
  registry: Registry,
  catalogue: Catalogue,
  had?: Registration,
): FunctionFacts | undefined {
  const builtin = registry.builtin(functionId)
  if (builtin) return { ...builtin, effects: builtin.effects ?? 'external', idempotent: builtin.idempotent ?? false }
  const declared = catalogue.declared(functionId)
  if (declared) return declared.descriptor
  return toldFacts((registry.registrations(functionId, realm)[0] ?? had)?.frame.metadata)
}

/**
 * May this call be made again where nobody knows what became of it? It changes nothing, repeating it is harmless, or its
 * function recognizes the idempotency key that it carries.
 */
export function isRepeatable(facts: FunctionFacts | undefined, request: InvokeRequest): boolean {
  if (!facts) return false
  if (facts.idempotent || (facts.keyed && request.context.idempotencyKey !== undefined)) return true
  return effectsWith(facts, request) === 'read'
}

/** May this call change something outside of this system? What nobody described may. */
export function reachesOutside(facts: FunctionFacts | undefined, request: InvokeRequest): boolean {
  return effectsWith(facts, request) === 'external'
}

function effectsWith(facts: FunctionFacts | undefined, request: InvokeRequest): Effects {
  return effectsOf(facts, facts?.effects === 'varies' ? payloadValue(request.payload) : undefined)
}

function toldFacts(metadata: unknown): FunctionFacts | undefined {
  if (typeof metadata !== 'object' || metadata === null) return undefined
  const told = metadata as Record<string, unknown>
  const { effects } = told
  const known = effects === 'read' || effects === 'write' || effects === 'varies' ? effects : 'external'
  return {
    effects: known,
    ...(isRule(told.effects_by) ? { effects_by: told.effects_by } : {}),
    idempotent: told.idempotent === true,
    keyed: told.keyed === true,
    durable: told.durable === true,
  }
}

function isRule(value: unknown): value is EffectsRule {
  if (typeof value !== 'object' || value === null) return false
  const { field, cases, overridden_by: override } = value as Partial<Record<keyof EffectsRule, unknown>>
  if (override !== undefined && !isOverride(override)) return false
  return typeof field === 'string' && typeof cases === 'object' && cases !== null
}

function isOverride(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  const { field, names } = value as { field?: unknown; names?: unknown }
  return typeof field === 'string' && Array.isArray(names) && names.every((name) => typeof name === 'string')
}
