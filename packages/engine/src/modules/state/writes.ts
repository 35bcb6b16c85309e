import { EngineError, type ErrorBody, isTooDeep, TOO_DEEP } from '@agentos/protocol'
import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import { BESIDE, type StoreRecord, type StoreWrite } from '../../core/ports.ts'
import { Input } from '../input.ts'
import { type KeyedWork, KeyRecords } from '../keys/key-records.ts'
import { guarded } from '../serve.ts'
import type { StateEvent, StateEvents } from './events.ts'
import { GuestState } from './guest-state.ts'
import type { Scopes } from './scopes.ts'
import { applyOps } from './update.ts'
import { readOps } from './update-op.ts'

const TTL_BOUNDS = { min: 1, max: 100 * 365 * 24 * 3_600_000 }
/** Writes that one call may bring. */
const MAX_WRITES = 100
/** A change is only made again when the disk refused a write that it was built on. */
const MAX_ATTEMPTS = 5

interface Target {
  scope: string
  key: string
  partition: string
}

type Unplaced<W> = W extends StoreWrite ? Omit<W, 'partition' | 'key'> : never

/** What a call makes of a value, and what it is answered with once that has this version. */
interface Change {
  write: Unplaced<StoreWrite>
  event: ['state:written' | 'state:deleted', unknown]
  result(version: number): unknown
}

/** One of several writes. */
interface Part {
  part: Input
  data: unknown
  target: Target
  isUpdate: boolean
}

type ChangeOf = (old: StoreRecord | undefined) => Change

/** `state::set`, `state::delete` and `state::update`: each answers after its write is durable. */
export class StateWrites {
  private readonly host: ModuleHost
  private readonly scopes: Scopes
  private readonly events: StateEvents
  private readonly maxValueBytes: number
  private readonly keys: KeyRecords
  private readonly guestState: GuestState

  constructor(parts: { host: ModuleHost; scopes: Scopes; events: StateEvents; maxValueBytes: number }) {
    this.host = parts.host
    this.scopes = parts.scopes
    this.events = parts.events
    this.maxValueBytes = parts.maxValueBytes
    this.keys = new KeyRecords(parts.host.ports)
    this.guestState = new GuestState(parts.host)
  }

  set(input: Input, call: BuiltinCall): void {
    const target = this.target(input, call)
    const value = input.anyValue('value', 'data')
    this.assertSize(value)
    const expires = this.expires(input)
    this.apply(input, call, target, (old) => ({
      ...put(value, { ...expected(input), ...(expires === undefined ? {} : { expires }) }),
      result: (version) => ({ old_value: old?.value ?? null, new_value: value, ...versionFor(input, version) }),
    }))
  }

  delete(input: Input, call: BuiltinCall): void {
    const target = this.target(input, call)
    this.apply(input, call, target, (old) => ({
      write: { op: 'delete', ...expected(input) },
      event: ['state:deleted', null],
      result: () => old?.value,
    }))
  }

  update(input: Input, call: BuiltinCall): void {
    const target = this.target(input, call)
    const ops = readOps(call.functionId, input)
    const expires = this.expires(input)
    this.apply(input, call, target, (old) => {
      const { value, errors } = applyOps(old?.value, ops)
      if (isTooDeep(this.assertSize(value))) throw new EngineError('invalid_input', `The value would be ${TOO_DEEP}`)
      const until = expires ?? old?.expires
      const expectedVersion = expected(input).expectedVersion ?? old?.version ?? 0
      const more = errors.length > 0 ? { errors } : {}
      return {
        ...put(value, { expectedVersion, ...(until === undefined ? {} : { expires: until }) }),
        result: (version) => ({
          old_value: old?.value ?? null,
          new_value: value,
          ...versionFor(input, version),
          ...more,
        }),
      }
    })
  }

  /**
   * One write after the other, each durable before the next begins; the first that fails ends them, and the error says
   * how many were `written`. What may not be touched is refused before any. Under a key each is made once.
   */
  inOrder(input: Input, call: BuiltinCall): void {
    const parts = this.partsOf(input, call)
    const versions: (number | null)[] = []
    const next = (): void => {
      const at = versions.length
      const following = parts[at]
      if (!following) return call.reply({ versions })
      const { part, data, isUpdate } = following
      const { idempotencyKey } = call.context
      const one: BuiltinCall = {
        ...call,
        input: data,
        context:
          idempotencyKey === undefined ? call.context : { ...call.context, idempotencyKey: `${idempotencyKey}/${at}` },
        reply: (result) => {
          versions.push((result as { version?: number }).version ?? null)
          next()
        },
        fail: (code, message, details) => call.fail(code, message, { ...(details as object | undefined), written: at }),
      }
      guarded(this.host, one, () => (isUpdate ? this.update(part, one) : this.set(part, one)))
    }
    next()
  }

  /**
   * All of them in one commit or none: values of one scope, none of them twice. Under a key once. Throws
   * `deserialization_error` where they are more or other than that.
   */
  atomic(input: Input, call: BuiltinCall): void {
    const parts = this.partsOf(input, call)
    const [first] = parts
    if (!first) return call.reply({ versions: [] })
    if (parts.some(({ isUpdate }) => isUpdate)) throw input.mismatch('an update among atomic writes')
    if (parts.some(({ target }) => target.partition !== first.target.partition)) {
      throw input.mismatch('atomic writes to more than one scope')
    }
    if (new Set(parts.map(({ target }) => target.key)).size < parts.length) {
      throw input.mismatch('atomic writes with a key twice')
    }
    const work = workOf(call, first.target)
    this.keys.once(work, {
      first: () => this.putAll(parts, work, call),
      again: (result) => call.reply(result),
      failed: (error) =>
        guarded(this.host, call, () => {
          throw error
        }),
    })
  }

  private putAll(parts: readonly Part[], work: KeyedWork, call: BuiltinCall): void {
    const { store } = this.host.ports
    const changes = parts.map(({ part, target }) => {
      const { partition, key } = target
      const value = part.anyValue('value', 'data')
      this.assertSize(value)
      const expires = this.expires(part)
      const change = put(value, { ...expected(part), ...(expires === undefined ? {} : { expires }) })
      const becomes = store.nextVersion(partition, key)
      const told = versionFor(part, becomes).version ?? null
      return { ...change, target, old: this.latest(target), becomes, told }
    })
    const ended: ((ok: boolean) => void)[] = []
    const endAll = (ok: boolean): void => ended.forEach((end) => void end(ok))
    try {
      for (const change of changes) ended.push(this.begin(call, change.target, change.old, change))
    } catch (error) {
      endAll(false)
      throw error
    }
    const result = { versions: changes.map(({ told }) => told) }
    const batch = changes.map(({ write, target: { partition, key }, becomes }) => ({
      ...write,
      partition,
      key,
      becomes,
    }))
    store.write([...batch, ...this.keys.recordOf(work, result)], (outcome) =>
      guarded(this.host, call, () => {
        endAll(outcome.ok)
        if (!outcome.ok) return failWith(call, outcome.error)
        call.reply(result)
        for (const { target, old, event } of changes) this.events.publish(eventOf(target, old, { event }), call.context)
      }),
    )
  }

  private partsOf(input: Input, call: BuiltinCall): Part[] {
    const writes = input.list('writes')
    if (writes.length > MAX_WRITES) throw input.mismatch(`more than ${MAX_WRITES} writes`)
    return writes.map((data) => {
      const part = new Input(call.functionId, data)
      const target = this.target(part, call)
      return { part, data, target, isUpdate: part.optionalOneOf('type', ['set', 'update']) === 'update' }
    })
  }

  /** Makes a change of one value, once for the call's idempotency key, and answers when it is on disk. */
  private apply(input: Input, call: BuiltinCall, target: Target, changeOf: ChangeOf): void {
    const { store } = this.host.ports
    const relaxed = input.optionalBoolean('relaxed') ?? false
    const { expectedVersion: wanted } = expected(input)
    const attempt = (left: number): void => {
      const old = this.latest(target)
      const change = changeOf(old)
      const ended = this.begin(call, target, old, change)
      store.write(
        this.batchOf(call, target, change),
        (outcome) =>
          guarded(this.host, call, () => {
            ended(outcome.ok)
            if (outcome.ok) {
              call.reply(change.result(outcome.records[0]!.version))
              return this.events.publish(eventOf(target, old, change), call.context)
            }
            // It was built on a write that the disk refused. Where the caller wants another version, that is the answer.
            const isBuiltAnew = wanted === undefined || wanted === (this.latest(target)?.version ?? 0)
            if (outcome.error.code === 'version_conflict' && isBuiltAnew && left > 1) attempt(left - 1)
            else failWith(call, outcome.error)
          }),
        { relaxed },
      )
    }
    this.keys.once(workOf(call, target), {
      first: () => attempt(MAX_ATTEMPTS),
      again: (result) => call.reply(result),
      failed: (error) =>
        guarded(this.host, call, () => {
          throw error
        }),
    })
  }

  /** The write, and beside it the record of the call's key with the result, which has to be known before. */
  private batchOf(call: BuiltinCall, target: Target, { write, result }: Change): StoreWrite[] {
    const { partition, key } = target
    const placed = { ...write, partition, key }
    if (call.context.idempotencyKey === undefined) return [placed]
    const version = this.host.ports.store.nextVersion(partition, key)
    const record = this.keys.recordOf(workOf(call, target), result(version))
    return placed.op === 'put' ? [{ ...placed, becomes: version }, ...record] : [placed, ...record]
  }

  private begin(
    call: BuiltinCall,
    { partition, key }: Target,
    old: StoreRecord | undefined,
    { write }: Pick<Change, 'write'>,
  ): (ok: boolean) => void {
    return this.guestState.begin(call, partition, key, old, write.op === 'put' ? write.value : undefined)
  }

  private target(input: Input, call: BuiltinCall): Target {
    const scope = input.string('scope')
    const key = keyOf(input)
    return { scope, key, partition: this.scopes.partition(scope, call) }
  }

  private latest({ partition, key }: Target): StoreRecord | undefined {
    return this.host.ports.store.latest(partition, key)
  }

  private expires(input: Input): number | undefined {
    const ttlMs = input.optionalInteger('ttlMs', TTL_BOUNDS) ?? input.optionalInteger('ttl_ms', TTL_BOUNDS)
    return ttlMs === undefined ? undefined : this.host.ports.clock.now() + ttlMs
  }

  /** Its JSON text. Throws `VALUE_TOO_LARGE`. */
  private assertSize(value: unknown): string {
    const json = JSON.stringify(value) ?? 'null'
    const bytes = Buffer.byteLength(json)
    if (bytes <= this.maxValueBytes) return json
    throw new EngineError(
      'VALUE_TOO_LARGE',
      `The value has ${bytes} bytes; at most ${this.maxValueBytes} are allowed`,
      {
        details: { bytes, maxValueBytes: this.maxValueBytes },
      },
    )
  }
}

function workOf({ functionId, context, input }: BuiltinCall, { partition }: Target): KeyedWork {
  return { functionId, context, input, partition }
}

/** The key of a value. What begins like the engine's own records beside them is none. */
export function keyOf(input: Input): string {
  const key = input.string('key')
  if (key.startsWith(BESIDE)) throw input.mismatch('`key` may not begin with U+10FFFF')
  return key
}

export function failWith(call: BuiltinCall, error: ErrorBody): void {
  call.fail(error.code, error.message, error.details)
}

function expected(input: Input): { expectedVersion?: number } {
  const bounds = { min: 0, max: Number.MAX_SAFE_INTEGER }
  // Other fields of the protocol are written in snake case, and a condition that is not read is a write that overwrites.
  const version = input.optionalInteger('expectedVersion', bounds) ?? input.optionalInteger('expected_version', bounds)
  return version === undefined ? {} : { expectedVersion: version }
}

/** Only who names a version is told the next one: others get the protocol's answer, which clients compare whole. */
function versionFor(input: Input, version: number): { version?: number } {
  return expected(input).expectedVersion === undefined ? {} : { version }
}

function put(value: unknown, more: { expectedVersion?: number; expires?: number }): Pick<Change, 'write' | 'event'> {
  return { write: { op: 'put', value, ...more }, event: ['state:written', value] }
}

function eventOf(
  { scope, key }: Target,
  old: StoreRecord | undefined,
  { event: [what, value] }: Pick<Change, 'event'>,
): StateEvent {
  const written = old ? 'state:updated' : 'state:created'
  const type = what === 'state:written' ? written : what
  return { type: 'state', event_type: type, scope, key, old_value: old?.value ?? null, new_value: value }
}
