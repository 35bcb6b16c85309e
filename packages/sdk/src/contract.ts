import type { Access, Effects, EffectsRule } from '@agentos/protocol'
import type * as z from 'zod'

/** A route of a contract: `'GET /v1/realms/:id'`, or the long form where there is more to say. */
export type HttpRoute =
  | string
  | {
      route: string
      /** Status of a success. @default 200 */
      status?: number
      /** The handler gets the protocol's request object (`HttpRequest`) and answers with its response object. */
      raw?: boolean
      /** With `"stream": true` in the input the answer is server-sent events: `stream` arrives as a channel writer. */
      stream?: boolean
    }

/** What a caller and the engine need to know of a function; the worker that serves it adds the handler. */
export interface FunctionContract<I extends z.ZodType = z.ZodType, O extends z.ZodType = z.ZodType> {
  /** `domain::verb`, for example `memory::search`. */
  id: string
  /** One sentence; shown in lists, OpenAPI, forms, and to a model where `tool` is set. */
  summary: string
  /** Built at first use, so that importing a contract costs next to nothing. */
  input: () => I
  output: () => O
  http?: HttpRoute | HttpRoute[]
  /** `read` changes nothing, `write` changes this system's state, `external` something outside. A rule where it
   *  depends on a field of the input: data, so that the engine can judge a call before it sends it. */
  effects: Effects | EffectsRule
  /** Repeating it is harmless. @default false */
  idempotent?: boolean
  /** Repeating it under the same `ctx.idempotencyKey` is harmless: the handler recognizes the key. @default false */
  keyed?: boolean
  /** Each call is a run: its steps are journaled, and it goes on after a crash. The handler is given to `durable`.
   *  @default false */
  durable?: boolean
  /** Id of another function of the worker, a read that takes the same input and fails where this one could not do its
   *  work: a setting is missing, the input cannot be used. It is asked before a person is asked to approve a call. */
  checkedBy?: string
  /** Fit to be offered to a model. @default false */
  tool?: boolean
  /** `owner`: only the owner's token or an installed worker acting for itself or its caller, never a guest's own call
   *  and never what a model chose; `agent`: that too, where the agent has the grant. @default 'guest' */
  access?: Access
}

const CONTRACT_KEYS: Record<keyof FunctionContract, true> = {
  id: true,
  summary: true,
  input: true,
  output: true,
  http: true,
  effects: true,
  idempotent: true,
  keyed: true,
  durable: true,
  tool: true,
  access: true,
  checkedBy: true,
}
const ROUTE_KEYS: Record<keyof Exclude<HttpRoute, string>, true> = {
  route: true,
  status: true,
  raw: true,
  stream: true,
}
const RULE_KEYS: Record<keyof EffectsRule, true> = {
  field: true,
  cases: true,
  absent: true,
  otherwise: true,
  overridden_by: true,
}
const EFFECTS: readonly unknown[] = ['read', 'write', 'external'] satisfies Effects[]
const ACCESS: readonly unknown[] = ['guest', 'agent', 'owner', undefined] satisfies (Access | undefined)[]

/**
 * Types a contract from its schemas and keeps each schema, once built. Throws `TypeError` for a key that there is not
 * and for effects or access that are none: misspelt, they would silently mean the default, and nothing else looks at
 * types when sources run.
 */
export function defineFunction<I extends z.ZodType, O extends z.ZodType>(
  contract: FunctionContract<I, O>,
): FunctionContract<I, O> {
  const { id, effects, access, http = [] } = contract
  assertKeys(id, contract, CONTRACT_KEYS)
  for (const route of [http].flat()) if (typeof route === 'object') assertKeys(`${id}: http`, route, ROUTE_KEYS)
  const isRule = typeof effects === 'object'
  if (isRule) assertKeys(`${id}: effects`, effects, RULE_KEYS)
  const said = isRule ? [...Object.values(effects.cases), effects.absent, effects.otherwise] : [effects]
  const wrong = said.find((each) => !EFFECTS.includes(each))
  if (said.some((each) => !EFFECTS.includes(each))) {
    throw new TypeError(`${id}: effects are one of ${EFFECTS.join(', ')}, or a rule made of them, not ${String(wrong)}`)
  }
  if (!ACCESS.includes(access))
    throw new TypeError(`${id}: access is one of guest, agent, owner, not ${String(access)}`)
  let input: I | undefined
  let output: O | undefined
  return {
    ...contract,
    input: () => (input ??= contract.input()),
    output: () => (output ??= contract.output()),
  }
}

/** Throws `TypeError` for the first key that `known` does not have. */
export function assertKeys(of: string, value: object, known: Record<string, true>): void {
  const unknown = Object.keys(value).find((key) => !Object.hasOwn(known, key))
  if (unknown === undefined) return
  throw new TypeError(`${of} has no ${unknown}; there is ${Object.keys(known).join(', ')}`)
}

/** What a caller passes: fields with a default may be left out. */
export type InputOf<C> = C extends FunctionContract<infer I, z.ZodType> ? z.input<I> : never
/** What the handler gets: validated, defaults filled in. */
export type ParsedInputOf<C> = C extends FunctionContract<infer I, z.ZodType> ? z.output<I> : never
export type OutputOf<C> = C extends FunctionContract<z.ZodType, infer O> ? z.output<O> : never
