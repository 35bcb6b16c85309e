import { request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import type { ErrorBody, FunctionDescriptor, WorkerDescriptor } from '@agentos/protocol'
import { Catalogue } from '../../core/catalogue.ts'
import type { Connection, Grant } from '../../core/connection.ts'
import { Core } from '../../core/core.ts'
import type { GuestLimits } from '../../core/guest-share.ts'
import type { BuiltinFunction, ChannelRef } from '../../core/module.ts'
import type { Log } from '../../core/ports.ts'
import type { Span } from '../../core/spans.ts'
import { createEngineModule } from '../../modules/engine/functions.ts'
import type { RunCounts } from '../../modules/journal/runs.ts'
import { type MemoryDisk, MemoryStore } from '../../store/memory-store.ts'
import { systemClock, systemIds, systemTimers } from '../../system-ports.ts'
import { ChannelTable, createChannelsModule } from '../channels.ts'
import { GUEST } from '../tokens.ts'
import { coreView } from './core-view.ts'
import { createHttpEdge, type HttpEdge } from './edge.ts'
import type { HttpSettings } from './settings.ts'

export const OWNER_TOKEN = 'the-owner-token'
export const WORKER_TOKEN = 'the-credential-of-notes'

export type Handler = (
  data: never,
  call: { id: string; metadata: unknown; context: Record<string, unknown> },
) => unknown | Promise<unknown>

/** A worker on a socket that is none: what it would send and get are function calls. */
export interface FakeWorker {
  connection: Connection
  /** Error of the registration, if there was one. */
  refused: ErrorBody[]
  cancelled: string[]
  serve(id: string, handler: Handler, options?: { request_format?: unknown }): void
  bind(id: string, functionId: string, config: object, metadata?: object): void
  unbind(id: string): void
  leave(): void
}

export interface TestEdge {
  core: Core
  channels: ChannelTable
  edge: HttpEdge
  spans: Span[]
  warnings: string[]
  url: string
  port: number
  worker(grant?: Grant): FakeWorker
  installed(): FakeWorker
  fetch(path: string, init?: RequestInit & { token?: string }): Promise<Response>
  post(path: string, body: unknown, init?: RequestInit & { token?: string }): Promise<Response>
  close(): Promise<void>
}

export function descriptorOf(
  functions: Partial<FunctionDescriptor>[],
  more: Partial<WorkerDescriptor> = {},
): WorkerDescriptor {
  return {
    name: 'notes',
    version: '1.0.0',
    description: 'Notes of a test',
    start: 'always',
    instances: 1,
    memoryMb: 100,
    env: {},
    secrets: [],
    owns: { scopes: [], streams: [], topics: [] },
    systemScopes: [],
    entersRealms: false,
    dependencies: [],
    triggers: [],
    ...more,
    functions: functions.map((fn) => ({
      id: 'notes::get',
      summary: 'A function of a test',
      request_format: { type: 'object' },
      response_format: {},
      effects: 'read',
      idempotent: false,
      tool: false,
      access: 'guest',
      http: [],
      ...fn,
    })),
  }
}

export const binding = (route: string, more: object = {}) => {
  const [method, path] = route.split(' ') as ['GET', string]
  return { method, path, status: 200, raw: false, stream: false, ...more }
}

/** A real server over a real core, on a free port. */
export async function startEdge(
  options: {
    settings?: Partial<HttpSettings>
    descriptors?: WorkerDescriptor[]
    builtins?: BuiltinFunction[]
    consoleDir?: string
    disk?: MemoryDisk
    runs?: RunCounts
    guestLimits?: Partial<GuestLimits>
  } = {},
): Promise<TestEdge> {
  const store = new MemoryStore({
    clock: systemClock,
    timers: systemTimers,
    ...(options.disk ? { disk: options.disk } : {}),
  })
  const warnings: string[] = []
  const log: Log = { debug() {}, info() {}, warn: (_, text) => void warnings.push(text), error() {} }
  const ports = { clock: systemClock, timers: systemTimers, ids: systemIds, store, log }
  const core = new Core({
    ports,
    catalogue: new Catalogue(options.descriptors ?? []),
    limits: { workerWaitMs: 100 },
    guestLimits: { ...options.guestLimits },
  })
  const spans: Span[] = []
  core.spans.subscribe((span) => spans.push(span))
  const channels = new ChannelTable(ports, core.guestShare)
  const edge = createHttpEdge({
    core: coreView(core),
    facts: { runs: () => options.runs ?? { open: [], ended: new Map() }, jobs: () => ({ depth: 3, dead: 1 }) },
    channels,
    tokens: {
      grantOf(token) {
        if (token === OWNER_TOKEN) return { principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' }
        if (token !== WORKER_TOKEN) return undefined
        return { principal: { kind: 'system', id: 'notes' }, realm: 'system', worker: 'notes' }
      },
    },
    version: '0.0.0-test',
    settings: { port: 0, ...options.settings },
    ...(options.consoleDir === undefined ? {} : { consoleDir: options.consoleDir }),
  })
  const builtins = { name: 'test', start: () => options.builtins?.forEach((fn) => void core.registerFunction(fn)) }
  core.start([builtins, createEngineModule(core), createChannelsModule(channels), edge.module])
  const { port, url } = await edge.listen()
  const call = (path: string, init: RequestInit & { token?: string } = {}): Promise<Response> => {
    const { token, ...rest } = init
    const headers = new Headers(rest.headers)
    if (token !== undefined) headers.set('authorization', `Bearer ${token}`)
    return fetch(`${url}${path}`, { ...rest, headers })
  }
  return {
    core,
    channels,
    edge,
    spans,
    warnings,
    url,
    port,
    worker: (grant) => fakeWorker(core, grant ?? GUEST),
    installed: () => fakeWorker(core, { principal: { kind: 'system', id: 'notes' }, realm: 'system', worker: 'notes' }),
    fetch: call,
    post: (path, body, init = {}) =>
      call(path, {
        method: 'POST',
        body: JSON.stringify(body),
        ...init,
        headers: { 'content-type': 'application/json', ...(init.headers as Record<string, string>) },
      }),
    close: () => edge.close(0),
  }
}

function fakeWorker(core: Core, grant: Grant): FakeWorker {
  const handlers = new Map<string, Handler>()
  const refused: ErrorBody[] = []
  const cancelled: string[] = []
  const receive = (frame: object): void => core.receive(connection, Buffer.from(JSON.stringify(frame)))
  const connection = core.connect(
    {
      send(text) {
        const frame = JSON.parse(text.toString())
        if (frame.type === 'triggerregistrationresult') refused.push(frame.error)
        if (frame.type === 'cancelinvocation') cancelled.push(frame.invocation_id)
        if (frame.type !== 'invokefunction') return
        const { invocation_id, function_id, data, metadata, context } = frame
        const call = { id: invocation_id, metadata, context }
        const answer = (more: object): void =>
          receive({ type: 'invocationresult', invocation_id, function_id, ...more })
        // A later turn, as over a socket.
        setImmediate(async () => {
          try {
            answer({ result: await handlers.get(function_id)!(data as never, call) })
          } catch (error) {
            const { code = 'invocation_failed', message } = error as Error & { code?: string }
            answer({ error: { code, message } })
          }
        })
      },
      close() {},
      abort() {},
      buffered: () => 0,
    },
    grant,
  )
  receive({
    type: 'invokefunction',
    function_id: 'engine::workers::register',
    data: { runtime: 'node', name: grant.worker ?? 'a-client', pid: 4711, features: ['cancel'] },
    action: { type: 'void' },
  })
  return {
    connection,
    refused,
    cancelled,
    serve(id, handler, options = {}) {
      handlers.set(id, handler)
      receive({ type: 'registerfunction', id, ...options })
    },
    bind: (id, function_id, config, metadata) =>
      receive({
        type: 'registertrigger',
        id,
        trigger_type: 'http',
        function_id,
        config,
        ...(metadata ? { metadata } : {}),
      }),
    unbind: (id) => receive({ type: 'unregistertrigger', id }),
    leave: () => core.disconnect(connection),
  }
}

export interface RawAnswer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

/** A request with headers that `fetch` does not let through, such as `Host`. */
export function rawRequest(
  port: number,
  options: { method?: string; path: string; headers?: Record<string, string>; body?: string | Buffer },
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const { method = 'GET', path, headers = {}, body } = options
    const request = httpRequest({ host: '127.0.0.1', port, method, path, headers }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      )
    })
    request.on('error', reject)
    request.end(body)
  })
}

/** The events of an answer, once it is whole. */
export async function eventsOf(response: Response): Promise<{ event: string; data: unknown }[]> {
  const blocks = (await response.text()).split('\n\n').filter((block) => block.startsWith('event: '))
  return blocks.map((block) => {
    const [event, data] = block.split('\n')
    return { event: event!.slice('event: '.length), data: JSON.parse(data!.slice('data: '.length)) }
  })
}

/** Writes text frames to a channel, as a worker would over a socket. */
export function writeFrames(channels: ChannelTable, ref: ChannelRef, frames: (object | Buffer)[], end = true): void {
  const writer = channels.openWriter(ref)
  for (const frame of frames) writer.write(Buffer.isBuffer(frame) ? frame : JSON.stringify(frame))
  if (end) writer.end()
}
