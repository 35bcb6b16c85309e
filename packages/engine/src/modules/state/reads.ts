import { EngineError } from '@agentos/protocol'
import type { BuiltinCall, ModuleHost } from '../../core/module.ts'
import type { PageSize, StoreRecord } from '../../core/ports.ts'
import { answerTooLarge } from '../answer-size.ts'
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
  private readonly maxAnswerBytes: number

  constructor(parts: { host: ModuleHost; scopes: Scopes; maxListed: number; maxAnswerBytes: number }) {
    this.host = parts.host
    this.scopes = parts.scopes
    this.maxListed = parts.maxListed
    this.maxAnswerBytes = parts.maxAnswerBytes
  }

  get(input: Input, call: BuiltinCall): void {
    const scope = input.string('scope')
    const key = keyOf(input)
    call.reply(this.host.ports.store.get(this.scopes.partition(scope, call), key)?.value)
  }

  /** All values of a scope as they are at one moment; a scope that holds too many for one answer is to be paged through. */
  list(input: Input, call: BuiltinCall): void {
    const scope = input.string('scope')
    const partition = this.scopes.partition(scope, call)
    const { maxListed, maxAnswerBytes } = this
    this.range(call, partition, { limit: maxListed, maxBytes: maxAnswerBytes }, (records, next) => {
      if (next === undefined) return call.reply(records.map(({ value }) => value))
      const instead = 'page through it with state::entries {scope, after, limit}'
      if (records.length < maxListed) {
        throw answerTooLarge(`All values of the scope '${scope}'`, maxAnswerBytes, instead)
      }
      throw new EngineError('payload_too_large', `The scope '${scope}' holds more than ${maxListed} values; ${instead}`)
    })
  }

  listGroups(_input: Input, call: BuiltinCall): void {
    const groups = new Set<string>()
    const roots = this.scopes.roots(call)
    const { maxAnswerBytes } = this
    let bytes = 0
    const read = (root: string | undefined, after: string | undefined): void => {
      if (root === undefined) return call.reply({ groups: [...groups].sort() })
      const options = { maxBytes: maxAnswerBytes, ...(after === undefined ? {} : { after }) }
      this.host.ports.store.partitions(root, options, (partitions, error, next) =>
        guarded(this.host, call, () => {
          if (error) return failWith(call, error)
          for (const partition of partitions) {
            const scope = this.scopes.visible(partition, call)
            if (scope === undefined) continue
            groups.add(scope)
            bytes += Buffer.byteLength(scope) + 3
            if (bytes <= maxAnswerBytes) continue
            const instead =
              'page through state::changes {scopes_prefix, after, limit}, which names the scope of each value'
            throw answerTooLarge('The names of all scopes', maxAnswerBytes, instead)
          }
          if (next === undefined) read(roots.shift(), undefined)
          else read(root, next)
        }),
      )
    }
    read(roots.shift(), undefined)
  }

  /** A page ends at its limit, and before it where its values are large. */
  entries(input: Input, call: BuiltinCall): void {
    const partition = this.scopes.partition(input.string('scope'), call)
    const prefix = input.optionalString('prefix')
    const after = input.optionalString('after')
    const options = {
      limit: input.optionalInteger('limit', { min: 1, max: PAGE }) ?? 100,
      maxBytes: this.maxAnswerBytes,
      ...(prefix === undefined ? {} : { prefix }),
      ...(after === undefined ? {} : { after }),
    }
    this.range(call, partition, options, (records, next) => {
      const entries = records.map(({ key, value, version }) => ({ key, value, version }))
      call.reply(next === undefined ? { entries } : { entries, next })
    })
  }

  /**
   * A page as `entries` has it. Goes on until it has something to show or is at the end: an empty list means that there
   * is no more, and nothing else does.
   */
  changes(input: Input, call: BuiltinCall): void {
    const prefix = this.scopes.partitionPrefix(input.optionalString('scopes_prefix') ?? '', call)
    const limit = input.optionalInteger('limit', { min: 1, max: PAGE }) ?? PAGE / 2
    const page = (after: number): void => {
      this.host.ports.store.changes(prefix, { after, limit, maxBytes: this.maxAnswerBytes }, (list, error, behind) =>
        guarded(this.host, call, () => {
          if (error) return failWith(call, error)
          const changes: Change[] = []
          for (const { partition, key, value, deleted, version, seq } of list) {
            const scope = this.scopes.visible(partition, call)
            if (scope === undefined) continue
            changes.push({ scope, key, ...(deleted ? {} : { value }), deleted, version, seq })
          }
          const last = list.at(-1)?.seq ?? after
          if (changes.length > 0 || behind === undefined) call.reply({ changes, next: last })
          else page(last)
        }),
      )
    }
    page(input.optionalInteger('after', { min: 0, max: Number.MAX_SAFE_INTEGER }) ?? 0)
  }

  private range(
    call: BuiltinCall,
    partition: string,
    options: { prefix?: string; after?: string } & PageSize,
    done: (records: StoreRecord[], next: string | undefined) => void,
  ): void {
    this.host.ports.store.range(partition, options, (records, error, next) =>
      guarded(this.host, call, () => (error ? failWith(call, error) : done(records, next))),
    )
  }
}
