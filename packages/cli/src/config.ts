import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { Refusal } from './refusal.ts'

export interface Listener {
  host: string
  port: number
}

/** What supervisor and commands need of config.yaml; the engine validates the whole file. */
export interface Settings {
  http: Listener
  /** Without an `iii-http` entry the engine opens no HTTP port. A missing file is the default installation, with one. */
  httpListed: boolean
  /** Where workers connect (`iii-worker-manager`). */
  manager: Listener
  /** `agentos.workers.<name>.instances`: how many processes are started of a worker. */
  instances: ReadonlyMap<string, number>
  /** `agentos.workers.silent_ms`: a process that answers no heartbeat for so long is ended. @default 30 s */
  silentMs?: number
  /** Names of the variables that the file mentions: the engine expands them, so it has to be given them. */
  variables: string[]
}

const HTTP_NAMES = ['iii-http', 'http']
const DEFAULT_CONFIG = 'workers: [{ name: iii-http }]'
const VARIABLE = /\$\{([^}:]+)(?::([^}]*))?\}/g

/** `${NAME:default}` over the raw text, before YAML is parsed, as the iii layout has it. */
export function expandVariables(text: string, env: Record<string, string | undefined>): string {
  return text.replace(VARIABLE, (_, name: string, fallback: string | undefined) => {
    const value = env[name] ?? fallback
    if (value !== undefined) return value
    throw new Refusal(
      'config_variable_missing',
      'A variable of config.yaml is not set',
      `config.yaml asks for \${${name}}, which has no value and no default.`,
      [`Set ${name} in the environment or in .env beside config.yaml, or write \${${name}:default}.`],
    )
  })
}

export function parseSettings(text: string, env: Record<string, string | undefined>): Settings {
  const variables = [...new Set(Array.from(text.matchAll(VARIABLE), (match) => match[1] as string))]
  let document: unknown
  try {
    document = parse(expandVariables(text, env))
  } catch (error) {
    if (error instanceof Refusal) throw error
    throw new Refusal('config_invalid', 'config.yaml cannot be read', (error as Error).message.trimEnd(), [
      'Correct the line it names and start again.',
    ])
  }
  const top = asRecord(document)
  const entries = [...asList(top.modules), ...asList(top.workers)].map(asRecord)
  return {
    httpListed: entries.some((entry) => HTTP_NAMES.includes(String(entry.name))),
    http: listener(entries, HTTP_NAMES, 3111),
    manager: listener(entries, ['iii-worker-manager'], 49134),
    instances: instances(asRecord(asRecord(top.agentos).workers)),
    ...silence(asRecord(asRecord(top.agentos).workers).silent_ms),
    variables,
  }
}

/** The settings of an installation; defaults where it has no config.yaml. */
export function loadSettings(path: string, env: Record<string, string | undefined>): Settings {
  let text = DEFAULT_CONFIG
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new Refusal('config_unreadable', 'config.yaml cannot be read', (error as Error).message)
    }
  }
  return parseSettings(text, env)
}

/** How a client on this host reaches a listener: one that listens everywhere is reached on the loopback. */
export function addressOf(listener: Listener): string {
  const everywhere = ['0.0.0.0', '::', '', 'localhost'].includes(listener.host)
  const host = everywhere ? '127.0.0.1' : listener.host
  return `${host.includes(':') ? `[${host}]` : host}:${listener.port}`
}

function listener(entries: Record<string, unknown>[], names: string[], port: number): Listener {
  const config = asRecord(entries.find((entry) => names.includes(String(entry.name)))?.config)
  const given = config.port === undefined ? port : Number(config.port)
  if (!Number.isInteger(given) || given < 0 || given > 65_535) {
    throw new Refusal(
      'config_invalid',
      'config.yaml is not valid',
      `The port of ${names[0]} is ${String(config.port)}.`,
      ['Give a number from 1 to 65535.'],
    )
  }
  return { host: typeof config.host === 'string' ? config.host : '127.0.0.1', port: given }
}

/** The engine checks the whole file and says what is wrong with it; here only what can be used counts. */
function instances(workers: Record<string, unknown>): Map<string, number> {
  const given = Object.entries(workers).map(([name, settings]) => [name, asRecord(settings).instances] as const)
  return new Map(given.filter((entry): entry is [string, number] => Number.isInteger(entry[1])))
}

const silence = (given: unknown): { silentMs?: number } =>
  typeof given === 'number' && Number.isInteger(given) && given > 0 ? { silentMs: given } : {}

const asRecord = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}

const asList = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])
