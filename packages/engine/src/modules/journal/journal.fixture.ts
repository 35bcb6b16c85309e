import type { InvokeFunctionFrame } from '@agentos/protocol'
import { installed, Peer, startCore } from '../../../test/peers.ts'
import { DEFAULT_REALM } from '../../core/context.ts'
import { BESIDE } from '../../core/ports.ts'
import type { StoredRow } from '../../store/record.ts'
import { createKeysModule } from '../keys/module.ts'
import { createStateModule } from '../state/module.ts'
import { createJournalModule } from './module.ts'

type Invocation = InvokeFunctionFrame & { invocation_id: string }

const WORKERS = [
  installed(
    'flow',
    [
      { id: 'flow::run', durable: true },
      { id: 'flow::other', durable: true },
      { id: 'flow::look', effects: 'read' },
    ],
    { speaksForAgents: true },
  ),
  installed('tool', [
    { id: 'tool::read', effects: 'read' },
    { id: 'tool::keyed', effects: 'external', keyed: true },
    { id: 'tool::send', effects: 'external' },
  ]),
  installed('approval', [{ id: 'approval::gate', access: 'owner' }], { gate: 'approval::gate' }),
]

/** An engine with the journal, a worker with durable functions, and one with tools; each step of time is the test's. */
export class JournalWorld {
  private readonly maxAnswerBytes: number | undefined
  private parts: ReturnType<typeof startCore>
  /** What readers of runs were told. */
  readonly told: { type: string }[] = []
  caller!: Peer
  flow!: Peer
  tool!: Peer
  /** Asked before what an agent would change outside. */
  gate!: Peer

  constructor(maxAnswerBytes?: number) {
    this.maxAnswerBytes = maxAnswerBytes
    this.parts = this.boot()
    this.connect()
  }

  get time() {
    return this.parts.time
  }

  get disk() {
    return this.parts.disk
  }

  get warnings() {
    return this.parts.warnings
  }

  get store() {
    return this.parts.store
  }

  private boot(before?: { time: ReturnType<typeof startCore>['time']; disk: ReturnType<typeof startCore>['disk'] }) {
    const keys = createKeysModule({ kept: 1_000, bytes: 1_000_000, maxResultBytes: 1_000 })
    const write = (text: string): boolean => this.told.push(JSON.parse(text)) > 0
    const bound = this.maxAnswerBytes === undefined ? {} : { maxAnswerBytes: this.maxAnswerBytes }
    const openWriter = () => ({ write, onDrain() {}, aborted: false, end() {} })
    const modules = [keys, createStateModule(), createJournalModule({ openWriter, ...bound })]
    return startCore({ workers: WORKERS, modules, ...before })
  }

  connect(): void {
    this.caller = this.parts.owner()
    this.flow = this.flowProcess()
    this.tool = this.toolProcess()
    this.gate = this.parts.worker('approval')
    this.gate.register('approval::gate')
    this.settle()
  }

  toolProcess(): Peer {
    const tool = this.parts.worker('tool')
    for (const id of ['tool::read', 'tool::keyed', 'tool::send'])
      tool.register(id, { instance: `tool-${Math.random()}` })
    return tool
  }

  owner(): Peer {
    return this.parts.owner()
  }

  flowProcess(): Peer {
    const flow = this.parts.worker('flow')
    flow.register('flow::run', { instance: `flow-${Math.random()}` })
    return flow
  }

  /** The engine is killed: what was not committed is gone, and so is every connection; another starts on its disk. */
  restart({ waitsForClients = true } = {}): void {
    const { time, disk } = this.parts
    time.reset()
    this.parts = this.boot({ time, disk })
    if (waitsForClients) this.time.advance(1_000)
    this.settle()
  }

  /** From the commit of a write with its key on nothing comes to the disk, as where the engine is killed just then. */
  dieAfterKeyedWrite(): void {
    this.dieAfter(({ key }) => key.startsWith(BESIDE))
  }

  /** From the commit of this row on nothing comes to the disk, as where the engine is killed just then. */
  dieAfter(isLast: (row: StoredRow) => boolean): void {
    const { disk } = this
    const put = disk.put.bind(disk)
    let isDead = false
    disk.put = (row) => {
      if (isDead) return
      put(row)
      isDead = isLast(row)
    }
    this.settle()
    disk.put = put
    if (!isDead) throw new Error('The row was not written')
    this.restart()
  }

  /** In the realm of the caller. */
  guest(): Peer {
    return new Peer(this.parts.core, { kind: 'guest', id: 'guest' }, undefined, DEFAULT_REALM)
  }

  /** Lets everything happen that is due at once. */
  settle(): void {
    this.time.advance(5)
  }

  begin(more: object = {}): string {
    const id = this.caller.call('flow::run', { data: { n: 1 }, ...more })
    this.settle()
    return id
  }

  /** The latest invocation that a process was given. */
  given(peer: Peer, functionId = 'flow::run'): Invocation {
    const found = peer.served.findLast(({ function_id }) => function_id === functionId)
    if (!found) throw new Error(`${functionId} was not called`)
    return found as Invocation
  }

  /** Asks for a step; returns the id under which it is answered. */
  ask(
    step: string,
    functionId: string,
    data: unknown = {},
    options: { peer?: Peer; attempt?: Invocation; agent?: string } = {},
  ): string {
    const { peer = this.flow, attempt = this.given(peer), agent } = options
    const id = peer.call(functionId, { parent: attempt.invocation_id, step, data, ...(agent ? { agent } : {}) })
    this.settle()
    return id
  }

  /** A step whose call is answered at once with `result`. */
  does(step: string, functionId: string, result: unknown, data: unknown = {}): unknown {
    const id = this.ask(step, functionId, data)
    this.tool.answer(this.given(this.tool, functionId), result)
    this.settle()
    return this.flow.result(id)?.result
  }

  finish(result: unknown, peer = this.flow): void {
    peer.answer(this.given(peer), result)
    this.settle()
  }

  fail(code: string, message = code, more: object = {}): void {
    const { invocation_id } = this.given(this.flow)
    this.flow.tell({ type: 'invocationresult', invocation_id, error: { code, message, ...more } })
    this.settle()
  }

  /** The handler unwinds after it was suspended. */
  unwind(answer?: unknown): void {
    this.fail('run_suspended', 'suspended', answer === undefined ? {} : { details: { answer } })
  }

  get runId(): string {
    return this.given(this.flow).context!.run!
  }

  /** Answer of a function, asked by the owner. */
  async query<T = Record<string, unknown>>(functionId: string, data: object = {}, peer = this.caller): Promise<T> {
    const id = peer.call(functionId, { data })
    this.settle()
    const frame = peer.result(id)
    if (!frame) throw new Error(`${functionId} has not answered`)
    if (frame.error) throw Object.assign(new Error(frame.error.message), frame.error)
    return frame.result as T
  }

  /** How often a tool was really called. */
  calls(functionId: string): number {
    return this.tool.served.filter(({ function_id }) => function_id === functionId).length
  }
}
