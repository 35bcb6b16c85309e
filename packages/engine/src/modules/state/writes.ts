import { EngineError, type ErrorBody } from '@agentos/protocol'
import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import type { StoreRecord, StoreWrite } from '../../core/ports.ts'
import type { Input } from '../input.ts'
import { guarded } from '../serve.ts'
import type { StateEvent, StateEvents } from './events.ts'
import type { Scopes } from './scopes.ts'
import { applyOps } from './update.ts'
import { readOps } from './update-op.ts'

const MAX_TTL_MS = 100 * 365 * 24 * 3_600_000
/** An update is only made again when the disk refused a write that it was built on. */
const MAX_ATTEMPTS = 5

interface Target {
  scope: string
  key: string
  partition: string
}

/** `state::set`, `state::delete` and `state::update`: each answers after its write is durable. */
export class StateWrites {
  private readonly host: ModuleHost
  private readonly scopes: Scopes
  private readonly events: StateEvents
  private readonly maxValueBytes: number

  constructor(parts: { host: ModuleHost; scopes: Scopes; events: StateEvents; maxValueBytes: number }) {
    this.host = parts.host
    this.scopes = parts.scopes
    this.events = parts.events
    this.maxValueBytes = parts.maxValueBytes
  }

  set(input: Input, call: BuiltinCall): void {
    const target = this.target(input, call)
    const value = input.anyValue('value', 'data')
    this.assertSize(value)
    const write = { op: 'put' as const, partition: target.partition, key: target.key, value }
    const expires = this.expires(input)
    const old = this.latest(target)
    const batch = [{ ...write, ...expected(input), ...(expires === undefined ? {} : { expires }) }]
    this.write(call, batch, input, (version) => {
      call.reply({ old_value: old?.value ?? null, new_value: value, version })
      this.publish(target, old, value, call)
    })
  }

  delete(input: Input, call: BuiltinCall): void {
    const target = this.target(input, call)
    const old = this.latest(target)
    const batch = [{ op: 'delete' as const, partition: target.partition, key: target.key, ...expected(input) }]
    this.write(call, batch, input, () => {
      call.reply(old?.value)
      this.events.publish(eventOf('state:deleted', target, old?.value ?? null, null), call.context)
    })
  }

  update(input: Input, call: BuiltinCall): void {
    const target = this.target(input, call)
    const ops = readOps(call.functionId, input)
    const wanted = expected(input).expectedVersion
    const expires = this.expires(input)
    const attempt = (left: number): void => {
      const old = this.latest(target)
      const { value, errors } = applyOps(old?.value, ops)
      this.assertSize(value)
      const until = expires ?? old?.expires
      const write = {
        op: 'put' as const,
        partition: target.partition,
        key: target.key,
        value,
        expectedVersion: wanted ?? old?.version ?? 0,
        ...(until === undefined ? {} : { expires: until }),
      }
      const again = wanted === undefined && left > 1 ? () => attempt(left - 1) : undefined
      this.write(
        call,
        [write],
        input,
        (version) => {
          const result = { old_value: old?.value ?? null, new_value: value, version }
          call.reply(errors.length > 0 ? { ...result, errors } : result)
          this.publish(target, old, value, call)
        },
        again,
      )
    }
    attempt(MAX_ATTEMPTS)
  }

  private write(
    call: BuiltinCall,
    batch: StoreWrite[],
    input: Input,
    done: (version: number) => void,
    again?: () => void,
  ): void {
    const relaxed = input.optionalBoolean('relaxed') ?? false
    this.host.ports.store.write(
      batch,
      (outcome) =>
        guarded(this.host, call, () => {
          if (outcome.ok) done(outcome.records[0]!.version)
          else if (again && outcome.error.code === 'version_conflict') again()
          else failWith(call, outcome.error)
        }),
      { relaxed },
    )
  }

  private target(input: Input, call: BuiltinCall): Target {
    const scope = input.string('scope')
    const key = input.string('key')
    return { scope, key, partition: this.scopes.partition(scope, call) }
  }

  private latest({ partition, key }: Target): StoreRecord | undefined {
    return this.host.ports.store.latest(partition, key)
  }

  private expires(input: Input): number | undefined {
    const ttlMs = input.optionalInteger('ttlMs', { min: 1, max: MAX_TTL_MS })
    return ttlMs === undefined ? undefined : this.host.ports.clock.now() + ttlMs
  }

  private assertSize(value: unknown): void {
    const bytes = Buffer.byteLength(JSON.stringify(value) ?? 'null')
    if (bytes <= this.maxValueBytes) return
    throw new EngineError(
      'VALUE_TOO_LARGE',
      `The value has ${bytes} bytes; at most ${this.maxValueBytes} are allowed`,
      {
        details: { bytes, maxValueBytes: this.maxValueBytes },
      },
    )
  }

  private publish(target: Target, old: StoreRecord | undefined, value: unknown, call: BuiltinCall): void {
    const type = old ? 'state:updated' : 'state:created'
    this.events.publish(eventOf(type, target, old?.value ?? null, value), call.context)
  }
}

export function failWith(call: BuiltinCall, error: ErrorBody): void {
  call.fail(error.code, error.message, error.details)
}

function expected(input: Input): { expectedVersion?: number } {
  const version = input.optionalInteger('expectedVersion', { min: 0, max: Number.MAX_SAFE_INTEGER })
  return version === undefined ? {} : { expectedVersion: version }
}

function eventOf(type: StateEvent['event_type'], target: Target, oldValue: unknown, newValue: unknown): StateEvent {
  const { scope, key } = target
  return { type: 'state', event_type: type, scope, key, old_value: oldValue, new_value: newValue }
}
