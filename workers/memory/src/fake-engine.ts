import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyedCall } from '@agentos/keyed'
import { type Caller, type FunctionContract, InvocationError, type OutputOf, openLog, StateClient } from '@agentos/sdk'
import { type Space, Spaces } from './spaces.ts'
import type { Change } from './truth.ts'

interface Stored {
  scope: string
  key: string
  value: unknown
  deleted: boolean
  version: number
  seq: number
}

const log = await openLog('memory-test', 'silent')

/** The part of the engine's state that memory stands on, in this process, for tests of behaviour. */
export class FakeEngine {
  readonly folder = mkdtempSync(join(tmpdir(), 'memory-test-'))
  private readonly records = new Map<string, Stored>()
  private readonly answers = new Map<string, (input: never) => unknown>()
  private seq = 0
  private writesLeft = Number.POSITIVE_INFINITY
  spaces = this.openSpaces()

  /** Answers the calls of a contract. */
  answer<C extends FunctionContract>(contract: C, reply: (input: unknown) => Partial<OutputOf<C>> | Error): void {
    this.answers.set(contract.id, reply)
  }

  use<T>(agentId: string, work: (space: Space) => Promise<T>, realm = 'realm-default', call = this.call()): Promise<T> {
    return this.spaces.use(this.caller(realm), realm, agentId, work, call)
  }

  /** A call as a handler sees it, by the owner. */
  call(functionId = 'test::call', idempotencyKey?: string): KeyedCall {
    return { functionId, idempotencyKey, principal: { kind: 'owner', id: 'owner' }, realm: 'realm-default' }
  }

  /** The worker dies when so many more writes are stored: it hears of nothing any more until it is started again. */
  dieAfter(writes: number): void {
    this.writesLeft = writes
  }

  get died(): boolean {
    return this.writesLeft <= 0
  }

  caller(realm = 'realm-default'): Caller {
    const trigger = async (request: { function_id: string; payload?: unknown }) => {
      const input = structuredClone(request.payload) as never
      await Promise.resolve()
      return structuredClone(this.handle(request.function_id, input, realm))
    }
    return {
      trigger: trigger as Caller['trigger'],
      call: ((contract: FunctionContract, payload: unknown) =>
        trigger({ function_id: contract.id, payload })) as Caller['call'],
      state: new StateClient(trigger),
      log,
    }
  }

  /** The worker's process ends and starts again; what it only held in memory is gone. */
  async restart({ withoutIndex = false } = {}): Promise<void> {
    await this.spaces.stop()
    this.writesLeft = Number.POSITIVE_INFINITY
    if (withoutIndex) rmSync(join(this.folder, 'index'), { recursive: true })
    this.spaces = this.openSpaces()
  }

  async stop(): Promise<void> {
    await this.spaces.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Everything that is stored, but for what is known of keys. */
  stored(realm = 'realm-default'): { scope: string; key: string; value: unknown }[] {
    return this.ofRealm(realm)
      .filter(({ scope, deleted }) => !deleted && !scope.startsWith('memory-keys:'))
      .map(({ scope, key, value }) => ({ scope, key, value }))
  }

  keys(scope: string, realm = 'realm-default'): string[] {
    return this.live(realm, scope).map(({ key }) => key)
  }

  private openSpaces(): Spaces {
    const spaces = new Spaces()
    spaces.start(join(this.folder, 'index'))
    return spaces
  }

  private handle(id: string, input: never, realm: string): unknown {
    if (this.died) throw new InvocationError({ code: 'engine_lost', message: 'this process is dead' })
    const result = this.answerOf(id, input, realm)
    if (id === 'state::set' || id === 'state::delete') this.writesLeft -= 1
    if (this.died) throw new InvocationError({ code: 'engine_lost', message: 'killed before it heard of it' })
    return result
  }

  private answerOf(id: string, input: never, realm: string): unknown {
    if (id.startsWith('state::')) return this.state(id, input, realm)
    const answer = this.answers.get(id)
    if (!answer) throw new InvocationError({ code: 'function_not_found', message: `Nobody serves ${id}` })
    const reply = answer(input)
    if (reply instanceof Error) throw reply
    return reply
  }

  private state(
    id: string,
    input: {
      scope: string
      key: string
      value: unknown
      expectedVersion?: number
      scopes_prefix: string
      prefix?: string
      after?: string | number
      limit: number
    },
    realm: string,
  ): unknown {
    const name = JSON.stringify([realm, input.scope, input.key])
    const found = this.records.get(name)
    const current = found?.deleted ? undefined : found
    switch (id) {
      case 'state::get':
        return current?.value
      case 'state::set': {
        const version = current?.version ?? 0
        if (input.expectedVersion !== undefined && input.expectedVersion !== version) {
          throw new InvocationError({ code: 'version_conflict', message: `The version is ${version}` })
        }
        const { scope, key, value } = input
        const written = (found?.version ?? 0) + 1
        this.records.set(name, { scope, key, value, deleted: false, version: written, seq: ++this.seq })
        return { old_value: current?.value ?? null, new_value: value, version: written }
      }
      case 'state::delete':
        if (current) {
          const version = current.version + 1
          this.records.set(name, { ...current, value: undefined, deleted: true, version, seq: ++this.seq })
        }
        return current?.value
      case 'state::entries': {
        const rest = this.live(realm, input.scope).filter(
          ({ key }) => key.startsWith(input.prefix ?? '') && key > String(input.after ?? ''),
        )
        const entries = rest.slice(0, input.limit).map(({ key, value, version }) => ({ key, value, version }))
        return rest.length > input.limit ? { entries, next: entries.at(-1)!.key } : { entries }
      }
      case 'state::changes': {
        const changes: Change[] = this.ofRealm(realm)
          .filter(({ scope, seq }) => scope.startsWith(input.scopes_prefix) && seq > Number(input.after))
          .sort((a, b) => a.seq - b.seq)
          .slice(0, input.limit)
        return { changes, next: changes.at(-1)?.seq ?? input.after }
      }
      default:
        throw new InvocationError({ code: 'function_not_found', message: id })
    }
  }

  private live(realm: string, scope: string): Stored[] {
    return this.ofRealm(realm)
      .filter((record) => record.scope === scope && !record.deleted)
      .sort((a, b) => (a.key < b.key ? -1 : 1))
  }

  private ofRealm(realm: string): Stored[] {
    const prefix = JSON.stringify([realm]).slice(0, -1)
    return [...this.records].filter(([name]) => name.startsWith(`${prefix},`)).map(([, record]) => record)
  }
}
