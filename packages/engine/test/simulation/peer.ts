import type { Principal, WireContext } from '@agentos/protocol'
import type { Connection, Grant } from '../../src/core/connection.ts'
import type { Core } from '../../src/core/core.ts'
import type { Link } from '../../src/core/ports.ts'
import type { World } from './world.ts'

export interface Delivered {
  parent: string
  child: WireContext
  from: { realm: string; principal: Principal; deadlineAt: number | undefined }
  deadlineAt: number | undefined
}

/** The fields that a peer reads of what the engine sends. */
interface Incoming {
  type: string
  invocation_id: string
  function_id: string
  context: WireContext
  result?: { nonce: number }
  data: { nonce: number; parent: string; from?: Delivered['from'] }
}

interface Asked {
  nonce: number
  answers: number
}

/**
 * A worker on a simulated socket: frames take time, stay in order, and are lost when the socket is cut. It answers
 * calls late or never, calls onward under the call it is serving, dies and comes back as a new connection.
 */
export class Peer {
  readonly name: string
  readonly functions: string[]
  /** Calls of living connections, by invocation id. */
  readonly asked = new Map<string, Asked>()
  readonly wrong: string[] = []
  readonly delivered: Delivered[] = []
  private readonly world: World
  private readonly core: Core
  private readonly grant: Grant
  private session = 0
  private connection: Connection | undefined
  private toEngine = 0
  private toPeer = 0
  private nonce = 0
  /** While calm, nothing is cut any more and every call is answered. */
  calm = false

  constructor(world: World, core: Core, name: string, functions: string[], grant: Grant) {
    this.world = world
    this.core = core
    this.name = name
    this.functions = functions
    this.grant = grant
  }

  get connected(): boolean {
    return this.connection !== undefined
  }

  connect(): void {
    if (this.connection) return
    this.session += 1
    const session = this.session
    const link: Link = {
      send: (frame) => {
        this.toPeer = Math.max(this.toPeer, this.world.now) + this.world.between(0, 5)
        const text = frame.toString()
        const sentAt = this.world.now
        this.world.after(this.toPeer - this.world.now, () => {
          if (session === this.session && this.connection) this.receive(JSON.parse(text), sentAt)
        })
      },
      close: () => this.cut(0),
      abort: () => this.cut(0),
      buffered: () => 0,
    }
    this.connection = this.core.connect(link, this.grant)
    this.send({
      type: 'invokefunction',
      function_id: 'engine::workers::register',
      data: { name: this.name, pid: session, features: ['cancel'] },
      action: { type: 'void' },
    })
    for (const id of this.functions) {
      this.send({ type: 'registerfunction', id, group: this.name, instance: this.name })
    }
  }

  /** The peer's side is gone at once; the engine hears of it after `notice` milliseconds. */
  cut(notice: number): void {
    const dead = this.connection
    if (!dead) return
    this.connection = undefined
    this.asked.clear()
    this.world.after(notice, () => this.core.disconnect(dead))
  }

  call(functionId: string, parent?: { id: string; context: WireContext }, parentSentAt = 0): void {
    if (!this.connection) return
    const id = `10000000-0000-4000-8000-${this.name.length.toString(16)}${this.session.toString(16).padStart(4, '0')}${(++this.nonce).toString(16).padStart(7, '0')}`
    this.asked.set(id, { nonce: this.nonce, answers: 0 })
    this.send({
      type: 'invokefunction',
      invocation_id: id,
      function_id: functionId,
      data: {
        nonce: this.nonce,
        ...(parent ? { parent: parent.id, from: this.stamp(parent.context, parentSentAt) } : {}),
      },
      ...(parent ? { parent: parent.id } : {}),
      ...(this.world.chance(0.5) ? { deadline_ms: this.world.between(1, 400) } : {}),
      ...(this.world.chance(0.2) ? { agent: 'some-agent' } : {}),
    })
    if (this.world.chance(0.1)) {
      this.world.after(this.world.between(0, 50), () => this.send({ type: 'cancelinvocation', invocation_id: id }))
    }
  }

  private stamp(context: WireContext, sentAt: number): Delivered['from'] {
    const deadlineAt = context.deadline_ms === undefined ? undefined : sentAt + context.deadline_ms
    return { realm: context.realm, principal: context.principal, deadlineAt }
  }

  private send(frame: object): void {
    const { connection } = this
    if (!connection) return
    this.toEngine = Math.max(this.toEngine, this.world.now) + this.world.between(0, 5)
    const bytes = Buffer.from(JSON.stringify(frame))
    this.world.after(this.toEngine - this.world.now, () => {
      // What was on the way when the socket was cut never arrives.
      if (this.connection === connection) this.core.receive(connection, bytes)
    })
  }

  private receive(frame: Incoming, sentAt: number): void {
    if (frame.type === 'invocationresult') {
      const asked = this.asked.get(frame.invocation_id)
      if (!asked) return void this.wrong.push(`a result nobody asked for: ${frame.invocation_id}`)
      asked.answers += 1
      if (asked.answers > 1) this.wrong.push(`a second answer to ${frame.invocation_id}`)
      if (frame.result && frame.result.nonce !== asked.nonce) this.wrong.push("another call's result")
      return
    }
    if (frame.type !== 'invokefunction') return
    const context: WireContext = frame.context
    if (frame.data.from) {
      this.delivered.push({
        parent: frame.data.parent,
        child: context,
        from: frame.data.from,
        deadlineAt: context.deadline_ms === undefined ? undefined : sentAt + context.deadline_ms,
      })
    }
    if (this.world.chance(0.3)) this.call(this.anyOther(), { id: frame.invocation_id, context }, sentAt)
    if (!this.calm && this.world.chance(0.1)) return
    this.world.after(this.world.between(0, 100), () =>
      this.send({
        type: 'invocationresult',
        invocation_id: frame.invocation_id,
        function_id: frame.function_id,
        result: { nonce: frame.data.nonce },
      }),
    )
  }

  private anyOther(): string {
    const ids = ['a::one', 'a::two', 'b::one', 'b::two', 'c::one', 'nobody::there']
    return ids[this.world.between(0, ids.length - 1)]!
  }
}
