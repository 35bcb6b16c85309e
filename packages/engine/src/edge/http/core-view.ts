import type { FunctionDescriptor } from '@agentos/protocol'
import { type CallContext, SYSTEM_REALM } from '../../core/context.ts'
import type { Core } from '../../core/core.ts'
import { Directory, type FunctionView, type WorkerView } from '../../core/directory.ts'
import type { CallHandle, InvokeRequest } from '../../core/module.ts'
import type { InputSchema } from './input.ts'

/** A function whose routes stand whether or not somebody serves it. */
export interface ContractView {
  /** Installed worker, or `engine`. */
  owner: string
  descriptor: Pick<FunctionDescriptor, 'id' | 'summary' | 'request_format' | 'response_format' | 'access' | 'http'>
}

/** All that the HTTP edge wants of the core. */
export interface HttpCore {
  /** The result, even a refusal, comes through `request.onResult`, exactly once, maybe before this returns. */
  invoke(request: InvokeRequest): CallHandle
  /** Throws `not_found` where who is in a realm is in none that exists. */
  assertRealm(who: Pick<CallContext, 'realm' | 'principal'>): void
  /** Those that can be called in a realm. */
  functions(realm: string): FunctionView[]
  /** The installation's, and those of a realm. */
  workers(realm: string): WorkerView[]
  contracts(): ContractView[]
  /** What is said of a function's input. */
  inputSchema(functionId: string, realm: string): InputSchema
  /** A route that a contract declares does not stand. */
  routeRefused(owner: string, functionId: string, route: string, message: string): void
  /** Installed workers that are to be there always, and those that are; and why the disk takes no write or answers no read, where that is so. */
  readiness(): { expected: string[]; up: string[]; trouble: string | undefined }
  counts(): { inFlight: number; waiting: number; lateResults: number; connections: number }
}

export function coreView(core: Core): HttpCore {
  const { registry, catalogue } = core
  const directory = new Directory(core)
  return {
    invoke: (request) => core.invoke(request),
    assertRealm: (who) => core.calls.assertRealm(who),
    functions: (realm) => directory.functions(realm),
    workers: (realm) =>
      directory.workers(realm).map((view) => ({
        name: view.name,
        version: view.version,
        description: view.description,
        pid: view.pid,
        status: view.status,
        installed: view.installed,
        connectedAt: view.connectedAt,
        functions: view.functions,
        inFlight: view.inFlight,
        problems: view.problems,
      })),
    contracts() {
      const views: ContractView[] = []
      for (const {
        id,
        summary,
        request_format,
        response_format,
        access = 'guest',
        http,
      } of registry.builtinFunctions()) {
        if (!http) continue
        views.push({ owner: 'engine', descriptor: { id, summary, request_format, response_format, access, http } })
      }
      for (const [, { worker, descriptor }] of catalogue.declaredFunctions()) {
        if (descriptor.http.length > 0) views.push({ owner: worker, descriptor })
      }
      return views
    },
    routeRefused(worker, functionId, route, message) {
      const id = `${functionId} ${route}`
      core.declared.note({ worker, id, triggerType: 'http', functionId, path: [], route, message })
    },
    inputSchema(id, realm) {
      const view = directory.function(id, realm)
      return { schema: view?.request_format ?? undefined, installed: view?.installed ?? false }
    },
    readiness() {
      const expected = [...catalogue.workers.values()].filter((worker) => worker.start === 'always')
      // By credential: what a client calls itself makes nothing ready.
      const up = directory.workers(SYSTEM_REALM).filter((view) => view.status === 'up' && view.installed)
      const present = new Set(up.map((view) => view.name))
      const names = expected.map((worker) => worker.name)
      return { expected: names, up: names.filter((name) => present.has(name)), trouble: core.ports.store.trouble() }
    },
    counts() {
      const { inFlight, waiting, lateResults } = core.calls.counts()
      return { inFlight, waiting, lateResults, connections: core.connections.size }
    },
  }
}
