import { get } from '../shared/api.ts'
import { type Resource, useResource } from '../shared/resource.ts'

/** A function as `GET /v1/engine/functions` tells it. */
export interface FunctionView {
  id: string
  summary: string
  worker: string
  /** Somebody is there to serve it. */
  up: boolean
  effects: 'read' | 'write' | 'external'
  idempotent: boolean
  tool: boolean
  access: 'guest' | 'agent' | 'owner'
  /** The engine itself or a manifest describes it: only then its schema may be run. */
  installed: boolean
  request_format: unknown
  response_format: unknown
}

/** `asleep`: the next call starts it. `held`: it ended too often. */
export type WorkerStatus = 'up' | 'down' | 'asleep' | 'starting' | 'restarting' | 'held' | 'unbuilt' | 'silent'

/** A process of a worker, or an installed worker without any, as `GET /v1/engine/workers` tells it. */
export interface WorkerView {
  name: string
  version: string | null
  description: string | null
  pid: number | null
  status: WorkerStatus
  installed: boolean
  /** Epoch milliseconds. */
  connectedAt: number | null
  functions: string[]
  inFlight: number
}

export interface Directory {
  functions: FunctionView[]
  workers: WorkerView[]
}

export function useDirectory(inputs: unknown[]): Resource<Directory> {
  return useResource(async (signal) => {
    const [{ functions }, { workers }] = await Promise.all([
      get<{ functions: FunctionView[] }>('/v1/engine/functions', { signal }),
      get<{ workers: WorkerView[] }>('/v1/engine/workers', { signal }),
    ])
    return { functions, workers }
  }, inputs)
}

/** A worker with those of its functions that are looked for. */
export interface WorkerGroup {
  name: string
  status: WorkerStatus
  description: string
  /** Processes, where there are any. */
  processes: WorkerView[]
  functions: FunctionView[]
}

/** The engine stands last: it is always there, and seldom what one looks for. */
export function groupsOf({ functions, workers }: Directory, search: string): WorkerGroup[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean)
  const names = [...new Set([...workers.map(({ name }) => name), ...functions.map(({ worker }) => worker)])].sort()
  const groups = names.map((name): WorkerGroup => {
    const rows = workers.filter((worker) => worker.name === name)
    const description = rows[0]?.description ?? (name === 'engine' ? 'What the engine itself can do' : '')
    const own = functions.filter((fn) => fn.worker === name)
    const processes = rows.filter(({ status }) => status === 'up')
    return {
      name,
      status: processes.length > 0 || own.some((fn) => fn.up) ? 'up' : (rows[0]?.status ?? 'down'),
      description,
      processes,
      functions: own.filter((fn) => {
        const text = `${fn.id} ${fn.summary} ${name} ${description}`.toLowerCase()
        return words.every((word) => text.includes(word))
      }),
    }
  })
  const found = words.length === 0 ? groups : groups.filter((group) => group.functions.length > 0)
  return [...found.filter(({ name }) => name !== 'engine'), ...found.filter(({ name }) => name === 'engine')]
}
