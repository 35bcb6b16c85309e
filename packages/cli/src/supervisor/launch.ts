import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { KnownSecrets, WorkerDescriptor } from '@agentos/protocol'
import { addressOf, type Settings } from '../config.ts'
import type { Paths } from '../paths.ts'
import { Refusal } from '../refusal.ts'
import { ensureCredential } from './credentials.ts'
import { engineEnvironment, workerEnvironment } from './environment.ts'
import { notBuilt } from './installed.ts'
import type { ProcessSpec } from './managed-process.ts'

/** Least cap in MB that is enforced: a process of Node with nothing in it takes 60 to 80. */
const LEAST_MEMORY_MB = 128
/** Without it nobody can be told to start the engine again. */
const RETRY_HELD_MS = 30_000

export interface LaunchContext {
  paths: Paths
  settings: Settings
  /** The environment of the host with `.env` underneath. */
  host: Record<string, string | undefined>
  /** Run from the sources, through tsx. */
  dev: boolean
  /** Blanked in what processes write, and told to the engine by fingerprint. */
  secrets: KnownSecrets
  /** How long an engine is held that keeps ending, before it is tried again. @default 30 s */
  retryHeldMs?: number
}

export const engineUrl = (settings: Settings): string => `ws://${addressOf(settings.manager)}`

export function engineSpec(context: LaunchContext, onMessage: (message: unknown) => void): ProcessSpec {
  const { paths, settings, host, dev, secrets } = context
  const script = dev ? join(paths.home, 'packages/engine/src/main.ts') : join(paths.dist, 'engine.mjs')
  if (!existsSync(script)) throw notBuilt(paths.dist)
  return {
    name: 'engine',
    script,
    nodeArgs: dev ? tsxFlags(paths) : [],
    env: { ...engineEnvironment(settings.variables, host, { paths }), ...(dev ? devEnvironment(paths) : {}) },
    cwd: paths.root,
    logPath: join(paths.data, 'logs', 'engine.jsonl'),
    onMessage,
    secrets,
    retryHeldMs: context.retryHeldMs ?? RETRY_HELD_MS,
  }
}

/** The processes of a worker are `memory`, `memory.2`, …: no worker's name has a dot. */
export function workerSpec(context: LaunchContext, worker: WorkerDescriptor, number: number): ProcessSpec {
  const { paths, settings, host, dev, secrets } = context
  const credential = ensureCredential(paths.data, worker.name)
  for (const value of [credential, ...worker.secrets.map((each) => host[each])]) secrets.learn(value)
  const name = number === 1 ? worker.name : `${worker.name}.${number}`
  return {
    name,
    script: dev ? join(paths.workers, worker.name, 'src/worker.ts') : join(paths.dist, 'workers', `${worker.name}.mjs`),
    // A quarter of the cap is for what is not the heap: code, buffers, stacks.
    nodeArgs: [`--max-old-space-size=${Math.round(memoryCapMb(worker) * 0.75)}`, ...(dev ? tsxFlags(paths) : [])],
    env: {
      ...workerEnvironment(worker, host, { paths, engineUrl: engineUrl(settings), credential }),
      ...(dev ? devEnvironment(paths) : {}),
    },
    cwd: paths.root,
    logPath: join(paths.data, 'logs', `${name}.jsonl`),
    secrets,
  }
}

/** How many processes config.yaml wants of a worker: 1 where it says nothing. */
export function instancesOf(settings: Settings, worker: Pick<WorkerDescriptor, 'name' | 'instances'>): number {
  const wanted = settings.instances.get(worker.name) ?? 1
  if (wanted <= worker.instances) return wanted
  throw new Refusal(
    'config_invalid',
    'config.yaml starts too many processes of a worker',
    `agentos.workers.${worker.name}.instances is ${wanted}, and its manifest allows ${worker.instances}.`,
    [`Give at most ${worker.instances}. A worker that allows 1 decides something alone, or keeps an index on disk.`],
  )
}

/** What the whole process may use, in MB. */
export const memoryCapMb = (worker: Pick<WorkerDescriptor, 'memoryMb'>): number =>
  Math.max(worker.memoryMb, LEAST_MEMORY_MB)

/** The sources are ES modules throughout: without tsx's hooks for CommonJS a worker starts in 0.3 s instead of 0.55 s. */
function tsxFlags(paths: Paths): string[] {
  try {
    const loader = createRequire(join(paths.home, 'package.json')).resolve('tsx/esm')
    return ['--import', pathToFileURL(loader).href]
  } catch (error) {
    throw new Refusal(
      'tsx_missing',
      'Development tools are not installed',
      'tsx runs the sources, and it is not there.',
      ['Run npm run dev, which installs it.'],
      error,
    )
  }
}

const devEnvironment = (paths: Paths): Record<string, string> => ({
  NODE_COMPILE_CACHE: join(paths.dist, '.cache', 'sources'),
  // An output that breaks its contract is refused where its author sees it.
  AGENTOS_VALIDATE_OUTPUT: '1',
})
