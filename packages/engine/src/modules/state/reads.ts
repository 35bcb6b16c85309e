import { EngineError } from '@agentos/protocol'
import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import type { StoreRecord } from '../../core/ports.ts'
import type { Input } from '../input.ts'
import { guarded } from '../serve.ts'
import type { Scopes } from './scopes.ts'
import { failWith, keyOf } from './writes.ts'

const PAGE = 1_000

interface Change {
  scope: string
  key: string
  value?: unknown
  deleted: boolean
  version: number
  seq: number
}

/** What reads state: values, lists, and the changes from which an index is rebuilt. */
export class StateReads {
  private readonly host: ModuleHost
  private readonly scopes: Scopes
  private readonly maxListed: number

  constructor(parts: { host: ModuleHost; scopes: Scopes; maxListed: number }) {
    this.host = parts.host
    this.scopes = parts.scopes
    this.maxListed = parts.maxListed
  }

  get(input: Input, call: BuiltinCall): void {
    const scope = input.string('scope')
    const key = keyOf(input)
    call.reply(this.host.ports.store.get(this.scopes.partition(scope, call), key)?.value)
  }

  /** All values of a scope; a scope that holds too many for one answer is to be paged through. */
  list(input: Input, call: BuiltinCall): void {
    const scope = input.string('scope')
    const partition = this.scopes.partition(scope, call)
    const values: unknown[] = []
    const page = (after: string | undefined): void => {
      const options = { limit: PAGE, ...(after === undefined ? {} : { after }) }
      this.range(call, partition, options, (records) => {
        values.push(...records.map((record) => record.value))
        if (values.length > this.maxListed) {
          throw new EngineError(
            'payload_too_large',
            `The scope '${scope}' holds more than ${this.maxListed} values; page through it with state::entries`,
          )
        }
        if (records.length < PAGE) call.reply(values)
        else page(records.at(-1)!.key)
      })
    }
    page(undefined)
  }

  listGroups(_input: Input, call: BuiltinCall): void {
    const groups = new Set<string>()
    const roots = this.scopes.roots(call)
    const next = (): void => {
      const root = roots.shift()
      if (root === undefined) return call.reply({ groups: [...groups].sort() })
      this.host.ports.store.partitions(root, (partitions, error) =>
        guarded(this.host, call, () => {
          if (error) return failWith(call, error)
          for (const partition of partitions) {
            const scope = this.scopes.visible(partition, call)
            if (scope !== undefined) groups.add(scope)
          }
          next()
        }),
      )
    }
    next()
  }

  entries(input: Input, call: BuiltinCall): void {
    const partition = this.scopes.partition(input.string('scope'), call)
    const prefix = input.optionalString('prefix')
    const after = input.optionalString('after')
    const limit = input.optionalInteger('limit', { min: 1, max: PAGE }) ?? 100
    const options = {
      limit: limit + 1,
      ...(prefix === undefined ? {} : { prefix }),
      ...(after === undefined ? {} : { after }),
    }
    this.range(call, partition, options, (records) => {
      const entries = records.slice(0, limit).map(({ key, value, version }) => ({ key, value, version }))
      call.reply(records.length > limit ? { entries, next: entries.at(-1)!.key } : { entries })
    })
  }

  /** Goes on until it has something to show or is at the end: an empty list means that there is no more. */
  changes(input: Input, call: BuiltinCall): void {
    const prefix = this.scopes.partitionPrefix(input.optionalString('scopes_prefix') ?? '', call)
    const limit = input.optionalInteger('limit', { min: 1, max: PAGE }) ?? PAGE / 2
    const page = (after: number): void => {
      this.host.ports.store.changes(prefix, { after, limit }, (list, error) =>
        guarded(this.host, call, () => {
          if (error) return failWith(call, error)
          const changes: Change[] = []
          for (const { partition, key, value, deleted, version, seq } of list) {
            const scope = this.scopes.visible(partition, call)
            if (scope === undefined) continue
            changes.push({ scope, key, ...(deleted ? {} : { value }), deleted, version, seq })
          }
          const last = list.at(-1)?.seq ?? after
          if (changes.length > 0 || list.length < limit) call.reply({ changes, next: last })
          else page(last)
        }),
      )
    }
    page(input.optionalInteger('after', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0)
  }

  private range(
    call: BuiltinCall,
    partition: string,
    options: { prefix?: string; after?: string; limit: number },
    done: (records: StoreRecord[]) => void,
  ): void {
    this.host.ports.store.range(partition, options, (records, error) =>
      guarded(this.host, call, () => (error ? failWith(call, error) : done(records))),
    )
  }
}
