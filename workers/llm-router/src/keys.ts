import { chmod, mkdir, open, readFile, rename, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseEnv } from 'node:util'
import { knownSecrets } from '@agentos/sdk'

export type KeySource = 'env' | 'secrets' | 'dotenv'

export interface Key {
  value: string
  source: KeySource
}

export interface KeyRingOptions {
  /** `<data>/secrets.json`, written by `set`. */
  secretsPath: string
  /** `<root>/.env`, only read. */
  dotenvPath: string
  env?: NodeJS.ProcessEnv
}

interface CachedFile {
  /** Modification time and size; '' where the file is missing. */
  stamp: string
  values: Map<string, string>
}

/**
 * Keys by the name of their setting: the environment first, then `secrets.json`, then `.env`. The files are read again
 * when they change, so that a key works from the next request on. Whatever is found is a secret of this process from
 * then on.
 */
export class KeyRing {
  private readonly options: KeyRingOptions
  private readonly files = new Map<string, CachedFile>()
  private writing: Promise<void> = Promise.resolve()
  /** What `.env` held at first: whoever started this process may have put that into its environment. */
  private inherited: Map<string, string> | undefined

  constructor(options: KeyRingOptions) {
    this.options = options
  }

  async find(name: string): Promise<Key | undefined> {
    const key = await this.lookUp(name)
    knownSecrets.learn(key?.value)
    return key
  }

  private async lookUp(name: string): Promise<Key | undefined> {
    if (name === '') return undefined
    const dotenv = await this.read(this.options.dotenvPath, parseDotenv)
    this.inherited ??= dotenv
    const value = (this.options.env ?? process.env)[name]?.trim()
    // A copy of `.env` in the environment must not outlive a change of the file.
    if (value && value !== this.inherited.get(name)) return { value, source: 'env' }
    const stored = (await this.read(this.options.secretsPath, parseSecrets)).get(name)
    if (stored) return { value: stored, source: 'secrets' }
    const written = dotenv.get(name)
    return written ? { value: written, source: 'dotenv' } : undefined
  }

  /** Stores a key, or removes it where it is empty; the file appears whole or not at all, readable by the owner only. */
  set(name: string, key: string): Promise<void> {
    knownSecrets.learn(key)
    const written = this.writing.then(() => this.write(name, key.trim()))
    this.writing = written.catch(() => {})
    return written
  }

  private async write(name: string, key: string): Promise<void> {
    const path = this.options.secretsPath
    const text = await readFile(path, 'utf8').catch(missingIsEmpty)
    const secrets: Record<string, unknown> = text.trim() === '' ? {} : JSON.parse(text)
    if (key === '') delete secrets[name]
    else secrets[name] = key
    await mkdir(dirname(path), { recursive: true })
    const temporary = join(dirname(path), `.secrets.${process.pid}.tmp`)
    const file = await open(temporary, 'w', 0o600)
    try {
      await file.writeFile(`${JSON.stringify(secrets, null, 2)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await chmod(temporary, 0o600)
    await rename(temporary, path)
    this.files.delete(path)
  }

  private async read(path: string, parse: (text: string) => Map<string, string>): Promise<Map<string, string>> {
    const stamp = await stat(path).then(
      (file) => `${file.mtimeMs} ${file.size} ${file.ino}`,
      () => '',
    )
    const cached = this.files.get(path)
    if (cached?.stamp === stamp) return cached.values
    const text = stamp === '' ? '' : await readFile(path, 'utf8').catch(missingIsEmpty)
    const values = parse(text)
    this.files.set(path, { stamp, values })
    return values
  }
}

function missingIsEmpty(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return ''
  throw error
}

/** A file that is being edited and does not parse holds no keys; the next change is read again. */
function parseSecrets(text: string): Map<string, string> {
  const values = new Map<string, string>()
  try {
    for (const [name, value] of Object.entries(JSON.parse(text) as Record<string, unknown>)) {
      if (typeof value === 'string' && value !== '') values.set(name, value)
    }
  } catch {
    return values
  }
  return values
}

function parseDotenv(text: string): Map<string, string> {
  return new Map(Object.entries(parseEnv(text)).flatMap(([name, value]) => (value ? [[name, value]] : [])))
}
