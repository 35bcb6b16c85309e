import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { KeyedCall } from '@agentos/keyed'
import { type Caller, type FunctionContract, InvocationError, type OutputOf, openLog, StateClient } from '@agentos/sdk'
import { StateDouble } from '@agentos/testing'
import { type Space, Spaces } from './spaces.ts'

/** Scopes that the manifest gives this worker. */
const OWNED = ['memory:*', 'sessions:*', 'transcript:*', 'kg:*', 'memory-keys:*']

const log = await openLog('memory-test', 'silent')

/** The part of the engine that memory stands on, in this process, for tests of behaviour. */
export class FakeEngine {
  readonly folder = mkdtempSync(join(tmpdir(), 'memory-test-'))
  /** By realm. */
  private readonly states = new Map<string, StateDouble>()
  private readonly answers = new Map<string, (input: never) => unknown>()
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

  /**
   * The worker dies when so many more writes are stored, those of one commit counted as one: it hears of nothing any more
   * until it is started again.
   */
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
    return [...this.stateOf(realm).records]
      .filter(([name]) => !name.startsWith('memory-keys:'))
      .map(([name, { value }]) => {
        const end = name.indexOf('\n')
        return { scope: name.slice(0, end), key: name.slice(end + 1), value }
      })
  }

  keys(scope: string, realm = 'realm-default'): string[] {
    return this.stateOf(realm).keys(scope)
  }

  private stateOf(realm: string): StateDouble {
    const known = this.states.get(realm) ?? new StateDouble({ scopes: OWNED })
    this.states.set(realm, known)
    return known
  }

  private openSpaces(): Spaces {
    const spaces = new Spaces()
    spaces.start(join(this.folder, 'index'))
    return spaces
  }

  private handle(id: string, input: never, realm: string): unknown {
    if (this.died) throw new InvocationError({ code: 'engine_lost', message: 'this process is dead' })
    if (id === 'engine::state::write' && !(input as { atomic?: boolean }).atomic) {
      const { writes } = input as { writes: object[] }
      const written = writes.map((write) => this.handle('state::set', write as never, realm) as { version?: number })
      return { versions: written.map(({ version }) => version ?? null) }
    }
    const result = this.answerOf(id, input, realm)
    if (['state::set', 'state::delete', 'engine::state::write'].includes(id)) this.writesLeft -= 1
    if (this.died) throw new InvocationError({ code: 'engine_lost', message: 'killed before it heard of it' })
    return result
  }

  private answerOf(id: string, input: never, realm: string): unknown {
    if (id.startsWith('state::') || id === 'engine::state::write') return this.stateOf(realm).answer(id, input)
    const answer = this.answers.get(id)
    if (!answer) throw new InvocationError({ code: 'function_not_found', message: `Nobody serves ${id}` })
    const reply = answer(input)
    if (reply instanceof Error) throw reply
    return reply
  }
}
