import { InvocationError, StateClient } from '@agentos/sdk'

/** Bytes of one value as JSON that the engine takes, unless config.yaml says otherwise. */
export const MAX_VALUE_BYTES = 4 * 1024 * 1024
/** What begins like this is the engine's own. */
const BESIDE = '\u{10FFFF}'
const MAX_PAGE = 1_000
const MAX_LISTED = 10_000
const MAX_ANSWER_BYTES = 8 * 1024 * 1024
/** What an answer has of a row beside its key and value. */
const ROW_BYTES = 50
const IN_ORDER = 'engine::state::write'

export interface StateRecord {
  value: unknown
  version: number
  /** Place of its last write among all writes. */
  seq: number
  /** Epoch milliseconds. */
  expires?: number
}

export interface StateDoubleOptions {
  /** Scopes that the worker under test owns by its manifest, `*` at the end for any; every other one is refused. */
  scopes: readonly string[]
  /** @default MAX_VALUE_BYTES */
  maxValueBytes?: number
  /** Bytes of a list or page; a page ends there. @default 8 MiB */
  maxAnswerBytes?: number
  /** @default Date.now */
  now?: () => number
}

type Input = Record<string, unknown>
type Hook = (functionId: string, input: Input) => Promise<void> | void

/**
 * The engine's state in memory, for tests of workers: it refuses what the state module refuses (values that are too large,
 * scopes that are not owned, versions, pages), with the same codes. One realm. A test holds it against the real module.
 */
export class StateDouble {
  /** What is stored, by `<scope>\n<key>`; open to be tampered with. */
  readonly records = new Map<string, StateRecord>()
  readonly client: StateClient
  private readonly options: Required<StateDoubleOptions>
  /** Versions go on counting over a deletion. */
  private readonly deleted = new Map<string, { version: number; seq: number }>()
  /** Of those that expire. */
  private readonly expiring = new Set<string>()
  private seq = 0
  private before: Hook | undefined
  private after: Hook | undefined

  constructor(options: StateDoubleOptions) {
    this.options = { maxValueBytes: MAX_VALUE_BYTES, maxAnswerBytes: MAX_ANSWER_BYTES, now: Date.now, ...options }
    this.client = new StateClient(({ function_id, payload }) => this.run(function_id, (payload ?? {}) as Input))
  }

  /** Runs before every operation; may throw or wait. */
  intercept(hook: Hook | undefined): void {
    this.before = hook
  }

  /** Runs when a write is stored and not yet answered; where it throws, its writer never hears that it is stored. */
  whenStored(hook: Hook | undefined): void {
    this.after = hook
  }

  async run(functionId: string, input: Input): Promise<unknown> {
    if (functionId === IN_ORDER) {
      const writes = this.writesOf(input)
      if (input.atomic === true) {
        for (const write of writes) await this.before?.('state::set', write)
        const answer = this.allOrNone(writes)
        for (const write of writes) await this.after?.('state::set', write)
        return answer
      }
      const versions: unknown[] = []
      for (const write of writes) {
        versions.push(versionIn(await this.run('state::set', write).catch((error) => told(error, versions.length))))
      }
      return { versions }
    }
    await this.before?.(functionId, input)
    const result = this.answer(functionId, input)
    if (functionId === 'state::set' || functionId === 'state::delete') await this.after?.(functionId, input)
    return structuredClone(result)
  }

  /** As `run`, at once and without the hooks. */
  answer(functionId: string, input: Input): unknown {
    this.expire()
    switch (functionId) {
      case 'state::get':
        return this.records.get(this.nameOf(functionId, input))?.value
      case 'state::set':
        return this.set(functionId, input)
      case IN_ORDER:
        return this.inOrder(input)
      case 'state::delete':
        return this.delete(functionId, input)
      case 'state::list':
        return this.list(functionId, input)
      case 'state::entries':
        return this.entries(functionId, input)
      case 'state::changes':
        return this.changes(functionId, input)
      default:
        throw refusal('function_not_found', `There is no ${functionId} here`)
    }
  }

  /** Keys of a scope that hold something. */
  keys(scope: string): string[] {
    const prefix = `${scope}\n`
    return [...this.records.keys()]
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length))
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }

  private set(functionId: string, input: Input): unknown {
    const name = this.nameOf(functionId, input)
    const { json, ttlMs } = this.valueOf(functionId, input)
    const old = this.expected(functionId, input, name)
    const version = (this.records.get(name) ?? this.deleted.get(name) ?? { version: 0 }).version + 1
    const value: unknown = JSON.parse(json)
    this.seq += 1
    const expires = ttlMs === undefined ? {} : { expires: this.options.now() + ttlMs }
    this.records.set(name, { value, version, seq: this.seq, ...expires })
    this.deleted.delete(name)
    if (ttlMs === undefined) this.expiring.delete(name)
    else this.expiring.add(name)
    // Only who names a version is told the next one.
    const told = (input.expectedVersion ?? null) === null ? {} : { version }
    return { old_value: old?.value ?? null, new_value: value, ...told }
  }

  private valueOf(functionId: string, input: Input): { json: string; ttlMs: number | undefined } {
    if (input.value === undefined) throw mismatch(functionId, 'missing field `value`')
    const json = JSON.stringify(input.value)
    const bytes = Buffer.byteLength(json)
    const { maxValueBytes } = this.options
    if (bytes > maxValueBytes) {
      const message = `The value has ${bytes} bytes; at most ${maxValueBytes} are allowed`
      throw refusal('VALUE_TOO_LARGE', message, { bytes, maxValueBytes })
    }
    return { json, ttlMs: integer(functionId, input, 'ttlMs', 1, Number.MAX_SAFE_INTEGER) }
  }

  private allOrNone(writes: readonly Input[]): unknown {
    if (writes.some(({ type }) => type === 'update')) throw mismatch(IN_ORDER, 'an update among atomic writes')
    if (new Set(writes.map(({ scope }) => scope)).size > 1) {
      throw mismatch(IN_ORDER, 'atomic writes to more than one scope')
    }
    if (new Set(writes.map(({ key }) => key)).size < writes.length) {
      throw mismatch(IN_ORDER, 'atomic writes with a key twice')
    }
    for (const write of writes) this.valueOf('state::set', write)
    for (const write of writes) this.expected('state::set', write, this.nameOf('state::set', write))
    return { versions: writes.map((write) => versionIn(this.set('state::set', write))) }
  }

  private inOrder(input: Input): unknown {
    if (input.atomic === true) return this.allOrNone(this.writesOf(input))
    const versions: unknown[] = []
    for (const write of this.writesOf(input)) {
      try {
        versions.push(versionIn(this.set('state::set', write)))
      } catch (error) {
        told(error, versions.length)
      }
    }
    return { versions }
  }

  /** Those of one call, if all of them may be made; of the kinds, only `set` is known here. */
  private writesOf({ writes }: Input): Input[] {
    const all = writes as Input[]
    for (const write of all) this.nameOf(IN_ORDER, write)
    return all
  }

  private delete(functionId: string, input: Input): unknown {
    const name = this.nameOf(functionId, input)
    const old = this.expected(functionId, input, name)
    if (!old) return undefined
    this.remove(name, old)
    return old.value
  }

  private remove(name: string, { version }: StateRecord): void {
    this.seq += 1
    this.records.delete(name)
    this.deleted.set(name, { version: version + 1, seq: this.seq })
  }

  private expire(): void {
    const now = this.options.now()
    for (const name of this.expiring) {
      const record = this.records.get(name)
      if (record && (record.expires ?? 0) <= now) this.remove(name, record)
      if (!this.records.has(name)) this.expiring.delete(name)
    }
  }

  private list(functionId: string, input: Input): unknown[] {
    const scope = this.scopeOf(functionId, input)
    const keys = this.keys(scope)
    if (keys.length > MAX_LISTED) {
      const message = `The scope '${scope}' holds more than ${MAX_LISTED} values; page through it with state::entries`
      throw refusal('payload_too_large', message)
    }
    const rows = keys.map((key) => ({ key, value: this.records.get(`${scope}\n${key}`)!.value }))
    const { maxAnswerBytes: maxBytes } = this.options
    if (this.fitting(rows) === rows.length) return rows.map(({ value }) => value)
    const message = `All values of the scope '${scope}' would be over ${maxBytes} bytes; page through it with state::entries`
    throw refusal('payload_too_large', message, { maxBytes })
  }

  /** How many of these, from the first on, one answer has room for; always one. */
  private fitting(rows: readonly { key: string; value?: unknown }[]): number {
    let bytes = 0
    const over = rows.findIndex(({ key, value }, index) => {
      bytes += ROW_BYTES + Buffer.byteLength(key) + Buffer.byteLength(value === undefined ? '' : JSON.stringify(value))
      return index > 0 && bytes > this.options.maxAnswerBytes
    })
    return over === -1 ? rows.length : over
  }

  private entries(functionId: string, input: Input): unknown {
    const scope = this.scopeOf(functionId, input)
    const prefix = optionalText(functionId, input, 'prefix') ?? ''
    const after = optionalText(functionId, input, 'after')
    const limit = integer(functionId, input, 'limit', 1, MAX_PAGE) ?? 100
    const rest = this.keys(scope).filter(
      (key) =>
        key.startsWith(prefix) && (after === undefined || Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0),
    )
    const page = rest.slice(0, limit).map((key) => {
      const { value, version } = this.records.get(`${scope}\n${key}`)!
      return { key, value, version }
    })
    const entries = page.slice(0, this.fitting(page))
    return rest.length > entries.length ? { entries, next: entries.at(-1)!.key } : { entries }
  }

  /** Of the scopes that may be touched: the last change of each key. */
  private changes(functionId: string, input: Input): unknown {
    const prefix = optionalText(functionId, input, 'scopes_prefix') ?? ''
    const after = integer(functionId, input, 'after', 0, Number.MAX_SAFE_INTEGER) ?? 0
    const limit = integer(functionId, input, 'limit', 1, MAX_PAGE) ?? MAX_PAGE / 2
    const written = [...this.records].map(([name, { value, version, seq }]) => ({
      ...placeOf(name),
      value,
      deleted: false,
      version,
      seq,
    }))
    const gone = [...this.deleted].map(([name, { version, seq }]) => ({
      ...placeOf(name),
      deleted: true,
      version,
      seq,
    }))
    const page = [...written, ...gone]
      .filter(({ scope, seq }) => scope.startsWith(prefix) && seq > after)
      .sort((a, b) => a.seq - b.seq)
      .slice(0, limit)
    const changes = page.slice(0, this.fitting(page))
    return { changes, next: changes.at(-1)?.seq ?? after }
  }

  /** The value as it is, where the call wants no other version. */
  private expected(functionId: string, input: Input, name: string): StateRecord | undefined {
    const wanted = integer(functionId, input, 'expectedVersion', 0, Number.MAX_SAFE_INTEGER)
    const old = this.records.get(name)
    const currentVersion = old?.version ?? 0
    if (wanted === undefined || wanted === currentVersion) return old
    const message = `Expected version ${wanted}, but it is ${currentVersion}`
    throw refusal('version_conflict', message, { expectedVersion: wanted, currentVersion, key: placeOf(name).key })
  }

  private nameOf(functionId: string, input: Input): string {
    text(functionId, input, 'scope')
    const key = text(functionId, input, 'key')
    if (key.startsWith(BESIDE)) throw mismatch(functionId, '`key` may not begin with U+10FFFF')
    return `${this.scopeOf(functionId, input)}\n${key}`
  }

  private scopeOf(functionId: string, input: Input): string {
    const scope = text(functionId, input, 'scope')
    const owned = this.options.scopes.some((pattern) =>
      pattern.endsWith('*') ? scope.startsWith(pattern.slice(0, -1)) : scope === pattern,
    )
    if (!owned) throw refusal('forbidden', `The manifest of the worker does not own the scope ${scope}`)
    return scope
  }
}

/** The error of one of several writes. */
function told(error: unknown, written: number): never {
  if (!(error instanceof InvocationError)) throw error
  throw refusal(error.code, error.reason, { ...(error.details as object | undefined), written })
}

function versionIn(written: unknown): number | null {
  return (written as { version?: number }).version ?? null
}

/** A scope has no line break here. */
function placeOf(name: string): { scope: string; key: string } {
  const end = name.indexOf('\n')
  return { scope: name.slice(0, end), key: name.slice(end + 1) }
}

function text(functionId: string, input: Input, field: string): string {
  const value = optionalText(functionId, input, field)
  if (value === undefined) throw mismatch(functionId, `missing field \`${field}\``)
  return value
}

function optionalText(functionId: string, input: Input, field: string): string | undefined {
  const value = input[field] ?? undefined
  if (value === undefined || typeof value === 'string') return value
  throw mismatch(functionId, `\`${field}\` is no string`)
}

function integer(functionId: string, input: Input, field: string, min: number, max: number): number | undefined {
  const value = input[field] ?? undefined
  if (value === undefined) return undefined
  if (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max) return Number(value)
  throw mismatch(functionId, `invalid value for \`${field}\`, expected ${min} to ${max}`)
}

function mismatch(functionId: string, reason: string): InvocationError {
  return refusal('deserialization_error', `Failed to deserialize input for ${functionId}: ${reason}`)
}

function refusal(code: string, message: string, details?: unknown): InvocationError {
  return new InvocationError(details === undefined ? { code, message } : { code, message, details })
}
