import type { WorkerDescriptor } from '@agentos/protocol'
import type { Paths } from '../paths.ts'

/** Variables that say where and how a process runs, not what it may know. */
const ALWAYS = [
  'PATH',
  'HOME',
  'USER',
  'LANG',
  'LC_ALL',
  'LC_CTYPE',
  'TZ',
  'TMPDIR',
  'LOG_LEVEL',
  'NODE_ENV',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
]

type Environment = Record<string, string | undefined>

/**
 * Exactly what the worker's manifest declares, with its defaults, its secrets where they are set, its own credential and
 * where the engine is. Nothing else of the host's environment reaches it.
 */
export function workerEnvironment(
  worker: Pick<WorkerDescriptor, 'env' | 'secrets'>,
  host: Environment,
  own: { paths: Paths; engineUrl: string; credential: string },
): Record<string, string> {
  const declared = Object.entries(worker.env).map(([name, fallback]) => [name, host[name] ?? fallback] as const)
  const secrets = worker.secrets.map((name) => [name, host[name]] as const)
  return {
    ...pick(host, ALWAYS),
    ...withoutEmpty([...declared, ...secrets]),
    ...locations(own.paths),
    III_URL: own.engineUrl,
    AGENTOS_CREDENTIAL: own.credential,
  }
}

/**
 * The engine expands `${NAME}` in config.yaml, so it gets the variables that the file mentions, and no others: of the
 * workers' secrets, which it blanks wherever it writes something, it is told fingerprints.
 */
export function engineEnvironment(
  variables: string[],
  host: Environment,
  own: { paths: Paths },
): Record<string, string> {
  return { ...pick(host, [...ALWAYS, ...variables]), ...locations(own.paths) }
}

const locations = (paths: Paths): Record<string, string> => ({
  AGENTOS_ROOT: paths.root,
  AGENTOS_CONFIG: paths.config,
  AGENTOS_DATA: paths.data,
})

const pick = (from: Environment, names: string[]): Record<string, string> =>
  withoutEmpty(names.map((name) => [name, from[name]] as const))

const withoutEmpty = (entries: (readonly [string, string | undefined])[]): Record<string, string> =>
  Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== ''))
