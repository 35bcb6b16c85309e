import { EngineError, payloadJson } from '@agentos/protocol'
import { seenBy } from '../../core/directory.ts'
import type { StoreOutcome } from '../../core/ports.ts'
import { type Sessions, sessionCookie, sessionTokens } from '../session.ts'
import { parseJson, readBody } from './body.ts'
import { callerOf, cancelWhenAbandoned, contextOf, keyedBy, startCall } from './call.ts'
import { type EdgeParts, wantsJson } from './contract-route.ts'
import type { HttpCore } from './core-view.ts'
import type { Exchange } from './exchange.ts'
import { isRecord } from './input.ts'
import type { EdgeMetrics } from './metrics.ts'
import type { Method } from './routes.ts'

/** A route of the engine itself: always there. */
export interface OwnRoute {
  method: Method
  path: string
  summary: string
  /** `open`: nobody is asked who they are. `local`: nobody of this machine is; from elsewhere it is the owner's. */
  access: 'open' | 'local' | 'guest' | 'owner'
  input?: object
  output?: object
  status?: number
  contentType?: string
  /** Leaves no span: asked every few seconds by probes. */
  quiet?: boolean
  /** A client of the owner may take this path over; else nobody can. */
  yields?: boolean
  handle(exchange: Exchange): void | Promise<void>
}

export interface OwnParts {
  edge: EdgeParts
  core: HttpCore
  sessions: Sessions
  guests: boolean
  metrics: () => EdgeMetrics
  openApi: (exchange: Exchange) => object
  /** Address of the page, without a slash at its end. */
  url: () => string
  draining: () => boolean
}

const MAX_TIMEOUT_MS = 600_000
const STRING = { type: 'string' }
const PRINCIPAL = { type: 'object', properties: { kind: STRING, id: STRING } }

export function ownRoutes(parts: OwnParts): OwnRoute[] {
  return [...readiness(parts), ...probes(parts), ...directory(parts), ...authRoutes(parts)]
}

/** The state of the engine at two paths: where probes look, which a client may bind itself, and our own. */
function readiness({ core, draining }: OwnParts): OwnRoute[] {
  const route: Omit<OwnRoute, 'path'> = {
    method: 'GET',
    summary: 'Are all workers there that are to be there always, and does the disk take writes and answer reads?',
    access: 'open',
    quiet: true,
    handle(exchange) {
      const { expected, up, trouble } = core.readiness()
      const missing = expected.filter((name) => !up.includes(name))
      const phase = missing.length > 0 ? 'starting' : 'ready'
      const status = draining() ? 'draining' : trouble === undefined ? phase : 'store_unavailable'
      const workers = { expected: expected.length, up: up.length, missing }
      const store = trouble === undefined ? {} : { store: trouble }
      exchange.json(status === 'ready' ? 200 : 503, { value: { status, workers, ...store } })
    },
  }
  return [
    { ...route, path: '/ready', yields: true },
    { ...route, path: '/v1/engine/ready' },
  ]
}

function probes({ metrics, openApi }: OwnParts): OwnRoute[] {
  return [
    {
      method: 'GET',
      path: '/health',
      summary: 'Is the engine alive?',
      access: 'open',
      quiet: true,
      yields: true,
      handle: (exchange) => exchange.json(200, { value: { status: 'ok' } }),
    },
    {
      method: 'GET',
      path: '/metrics',
      summary: 'Figures in the format of Prometheus; from this machine, or with the owner token',
      access: 'local',
      contentType: 'text/plain',
      output: STRING,
      quiet: true,
      yields: true,
      async handle(exchange) {
        exchange.send(200, { 'content-type': metrics().contentType }, await metrics().text())
      },
    },
    {
      method: 'GET',
      path: '/openapi.json',
      summary: 'This document',
      access: 'guest',
      handle: (exchange) => exchange.json(200, { value: openApi(exchange) }),
    },
  ]
}

function directory({ core, edge }: OwnParts): OwnRoute[] {
  return [
    {
      method: 'GET',
      path: '/v1/engine/functions',
      summary: 'Every function with its schemas and the worker that it belongs to',
      access: 'guest',
      output: {
        type: 'object',
        properties: {
          functions: {
            type: 'array',
            items: {
              type: 'object',
              properties: {
                id: STRING,
                summary: STRING,
                worker: STRING,
                up: { type: 'boolean' },
                installed: { type: 'boolean' },
                effects: STRING,
                idempotent: { type: 'boolean' },
                tool: { type: 'boolean' },
                access: STRING,
                request_format: {},
                response_format: {},
              },
            },
          },
        },
      },
      handle: (exchange) => exchange.json(200, { value: { functions: core.functions(exchange.caller.realm) } }),
    },
    {
      method: 'GET',
      path: '/v1/engine/workers',
      summary: 'Every worker: its processes, or why there is none',
      access: 'guest',
      output: {
        type: 'object',
        properties: {
          workers: {
            type: 'array',
            items: {
              type: 'object',
              properties: {
                name: STRING,
                version: { type: ['string', 'null'] },
                description: { type: ['string', 'null'] },
                pid: { type: ['integer', 'null'] },
                status: { enum: ['up', 'down', 'asleep', 'starting', 'restarting', 'held', 'unbuilt', 'silent'] },
                installed: { type: 'boolean' },
                connectedAt: { type: ['integer', 'null'], description: 'Epoch milliseconds' },
                functions: { type: 'array', items: STRING },
                inFlight: { type: 'integer' },
                problems: {
                  type: 'array',
                  items: STRING,
                  description: 'What of it does not stand, though its manifest or code says so',
                },
              },
            },
          },
        },
      },
      handle(exchange) {
        const { caller } = exchange
        const workers = core.workers(caller.realm).map((view) => seenBy(view, caller))
        exchange.json(200, { value: { workers } })
      },
    },
    {
      method: 'POST',
      path: '/v1/functions/call',
      summary: 'Call any function by its id; the output is the body',
      access: 'guest',
      input: {
        type: 'object',
        required: ['functionId'],
        properties: {
          functionId: STRING,
          payload: {},
          timeoutMs: { type: 'integer', minimum: 1, maximum: MAX_TIMEOUT_MS },
        },
      },
      output: {},
      async handle(exchange) {
        const input = await readInput(exchange, edge.settings.bodyBytes)
        if (!input) return
        const { functionId, payload, timeoutMs = edge.settings.callTimeoutMs } = input
        if (typeof functionId !== 'string' || functionId === '') {
          throw new EngineError('invalid_input', 'functionId is missing')
        }
        if (typeof timeoutMs !== 'number' || !(timeoutMs >= 1 && timeoutMs <= MAX_TIMEOUT_MS)) {
          throw new EngineError('invalid_input', `timeoutMs is a number of milliseconds from 1 to ${MAX_TIMEOUT_MS}`)
        }
        exchange.functionId = functionId
        const caller = callerOf(exchange, undefined)
        const pending = startCall(core, {
          functionId,
          payload: payload === undefined ? undefined : { value: payload },
          context: contextOf(exchange, undefined, timeoutMs),
          ...(caller ? { caller } : {}),
          ...keyedBy(exchange),
        })
        cancelWhenAbandoned(exchange, pending, edge.settings.abandonedMs)
        const result = await pending.result
        if (!result.ok) return exchange.problem(result.error)
        exchange.json(200, { text: payloadJson(result.payload) ?? 'null' })
      },
    },
  ]
}

function authRoutes({ core, sessions, guests, url, edge }: OwnParts): OwnRoute[] {
  return [
    {
      method: 'POST',
      path: '/v1/auth/code',
      summary: 'Make a one-time code that lets a browser in as the owner',
      access: 'owner',
      output: {
        type: 'object',
        properties: { code: STRING, url: STRING, expiresAt: { type: 'integer', description: 'Epoch milliseconds' } },
      },
      handle(exchange) {
        if (!wantsJson(exchange)) return
        const { code, expiresAt } = sessions.createCode()
        // Behind the hash: it is never sent to a server, and stands in no log.
        exchange.json(200, { value: { code, url: `${url()}/#code=${code}`, expiresAt } })
      },
    },
    {
      method: 'POST',
      path: '/v1/auth/session',
      summary: 'Turn a one-time code into a session cookie',
      access: 'open',
      input: { type: 'object', required: ['code'], properties: { code: STRING } },
      output: { type: 'object', properties: { principal: PRINCIPAL, expiresAt: { type: 'integer' } } },
      async handle(exchange) {
        const input = await readInput(exchange, edge.settings.bodyBytes)
        if (!input) return
        const { code } = input
        if (typeof code !== 'string' || code.length > 100) throw new EngineError('invalid_input', 'code is missing')
        const { promise, resolve } = Promise.withResolvers<void>()
        sessions.redeem(code, (redeemed) => {
          if (redeemed.ok) {
            const seconds = Math.floor((redeemed.expiresAt - exchange.ports.clock.now()) / 1_000)
            exchange.response.setHeader('set-cookie', sessionCookie(redeemed.token, seconds))
            const principal = { kind: 'owner', id: 'owner' }
            exchange.json(200, { value: { principal, expiresAt: redeemed.expiresAt } })
          } else {
            const { code, message, retryAfterMs } = redeemed
            exchange.problem({ code, message, ...(retryAfterMs === undefined ? {} : { details: { retryAfterMs } }) })
          }
          resolve()
        })
        await promise
      },
    },
    {
      method: 'DELETE',
      path: '/v1/auth/session',
      summary: 'End the session of this browser',
      access: 'open',
      status: 204,
      async handle(exchange) {
        for (const token of sessionTokens(exchange.header('cookie'))) {
          if (!sessions.isValid(token)) continue
          const outcome = await new Promise<StoreOutcome>((resolve) => sessions.end(token, resolve))
          if (!outcome.ok) return exchange.problem(outcome.error)
        }
        exchange.response.setHeader('set-cookie', sessionCookie('', 0))
        exchange.send(204, {})
      },
    },
    {
      method: 'GET',
      path: '/v1/auth/me',
      summary: 'Who am I here?',
      access: 'guest',
      output: {
        type: 'object',
        properties: { principal: PRINCIPAL, realm: STRING, guests: { type: 'boolean' } },
      },
      handle(exchange) {
        const { principal, realm } = exchange.caller
        core.assertRealm(exchange.caller)
        exchange.json(200, { value: { principal, realm, guests } })
      },
    },
  ]
}

/** A JSON object; `undefined` where the request has its answer already. */
async function readInput(exchange: Exchange, limit: number): Promise<Record<string, unknown> | undefined> {
  if (!wantsJson(exchange)) return undefined
  const body = await readBody(exchange, limit)
  if (body === undefined) return undefined
  const input = body.length === 0 ? {} : parseJson(body)
  if (!isRecord(input)) throw new EngineError('invalid_input', 'The body is a JSON object')
  return input
}
