import type { FunctionDescriptor, WorkerDescriptor } from '@agentos/protocol'

export type OwnedKind = 'scopes' | 'streams' | 'topics'

/** Does `pattern` (exact, or ending in `*`) cover this name? */
function covers(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name
}

/** Instances of custom streams, which the protocol names so. */
const CUSTOM_STREAM = /^stream::(?:set|get|delete|list|list_groups|update)\([\w.:-]{1,128}\)$/
/** Clients of the protocol write capitals and dots, too. Nothing else is in an id: it stands in grants, paths and prompts. */
const FUNCTION_ID = /^(?=.{1,256}$)[\w.-]+(?:::[\w.-]+)*$/

/** May a function be called that? Ids are parts of letters, digits, `_`, `-` and `.`, joined by `::`. */
export function isFunctionId(id: string): boolean {
  return FUNCTION_ID.test(id) || CUSTOM_STREAM.test(id)
}

/** `memory` of `memory::kg::add`, and of `MEMORY::store`; an id without one is its own. */
function namespaceOf(functionId: string): string {
  const end = functionId.indexOf('::')
  return (end < 0 ? functionId : functionId.slice(0, end)).toLowerCase()
}

/** What is closed to others where this function is somebody's; nothing for instances of custom streams, which are anybody's. */
export function closedNamespaceOf(functionId: string): string | undefined {
  return CUSTOM_STREAM.test(functionId) ? undefined : namespaceOf(functionId)
}

/**
 * What the installed manifests declare: who owns which id, scope, stream and topic. It exists whether or not the
 * workers run, and does not change while the engine runs.
 */
export class Catalogue {
  readonly workers: ReadonlyMap<string, WorkerDescriptor>
  private readonly functions = new Map<string, { worker: string; descriptor: FunctionDescriptor }>()
  private readonly namespaces = new Map<string, Set<string>>()
  private readonly exact: Record<OwnedKind, Map<string, string>> = {
    scopes: new Map(),
    streams: new Map(),
    topics: new Map(),
  }
  private readonly patterns: Record<OwnedKind, { pattern: string; worker: string }[]> = {
    scopes: [],
    streams: [],
    topics: [],
  }
  private readonly known: ReadonlyMap<string, string>

  /** Scope of the system realm that holds the realms, where a worker keeps them. */
  readonly realmRegistry: string | undefined

  /** Function that is asked before a call of an agent goes on, where an installed worker has one. */
  readonly gate: string | undefined

  /** `known` maps ids of contracts that this release has to the worker that would serve them, installed or not. */
  constructor(descriptors: readonly WorkerDescriptor[], known: ReadonlyMap<string, string> = new Map()) {
    this.known = known
    this.realmRegistry = descriptors.find((descriptor) => descriptor.realmRegistry !== undefined)?.realmRegistry
    this.gate = theOnlyGate(descriptors)
    this.workers = new Map(descriptors.map((descriptor) => [descriptor.name, descriptor]))
    for (const worker of descriptors) {
      for (const descriptor of worker.functions) {
        const other = this.functions.get(descriptor.id)
        if (other) throw new Error(`Both ${other.worker} and ${worker.name} declare ${descriptor.id}; remove one`)
        this.functions.set(descriptor.id, { worker: worker.name, descriptor })
        assertCheck(worker, descriptor)
        const namespace = namespaceOf(descriptor.id)
        this.namespaces.set(namespace, (this.namespaces.get(namespace) ?? new Set()).add(worker.name))
      }
      for (const kind of ['scopes', 'streams', 'topics'] as const) {
        for (const pattern of worker.owns[kind]) {
          if (pattern.endsWith('*')) this.patterns[kind].push({ pattern, worker: worker.name })
          else this.exact[kind].set(pattern, worker.name)
        }
      }
    }
  }

  /**
   * May this worker (`undefined`: none that is installed) register this id? A declared id belongs to its worker, and
   * the rest of a namespace to those that declare something in it. Instances of custom streams, `stream::get(name)`,
   * are anybody's.
   */
  mayRegister(functionId: string, worker: string | undefined): boolean {
    const declared = this.functions.get(functionId)
    if (declared) return declared.worker === worker
    const namespace = closedNamespaceOf(functionId)
    const owners = namespace === undefined ? undefined : this.namespaces.get(namespace)
    return owners === undefined || (worker !== undefined && owners.has(worker))
  }

  /** The declaration of a function and the worker that it belongs to. */
  declared(functionId: string): { worker: string; descriptor: FunctionDescriptor } | undefined {
    return this.functions.get(functionId)
  }

  declaredFunctions(): IterableIterator<[string, { worker: string; descriptor: FunctionDescriptor }]> {
    return this.functions.entries()
  }

  /** The worker that would serve this id if it were installed. */
  missingWorkerOf(functionId: string): string | undefined {
    return this.known.get(functionId)
  }

  ownerOf(kind: OwnedKind, name: string): string | undefined {
    return this.exact[kind].get(name) ?? this.patterns[kind].find(({ pattern }) => covers(pattern, name))?.worker
  }

  /** Is this owned scope kept once for the installation? */
  isSystemScope(name: string): boolean {
    const owner = this.ownerOf('scopes', name)
    if (owner === undefined) return false
    return this.workers.get(owner)!.systemScopes.some((pattern) => covers(pattern, name))
  }
}

function theOnlyGate(descriptors: readonly WorkerDescriptor[]): string | undefined {
  const [first, second] = descriptors.filter(({ gate }) => gate !== undefined)
  if (second) throw new Error(`Both ${first!.name} and ${second.name} declare a gate; remove one`)
  return first?.gate
}

function assertCheck({ name, functions }: WorkerDescriptor, { id, checked_by }: FunctionDescriptor): void {
  if (checked_by === undefined) return
  if (functions.some((other) => other.id === checked_by && other.effects === 'read')) return
  throw new Error(`${id} is checked by ${checked_by}, which is no read of ${name}`)
}
