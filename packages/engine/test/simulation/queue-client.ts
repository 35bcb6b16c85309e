import type { Connection, Grant } from '../../src/core/connection.ts'
import { DEFAULT_REALM } from '../../src/core/context.ts'
import type { Core } from '../../src/core/core.ts'
import type { Link } from '../../src/core/ports.ts'
import type { World } from './world.ts'

const GUEST: Grant = { principal: { kind: 'guest', id: 'guest' }, realm: DEFAULT_REALM }

/** What the engine sends to a client of queues. */
export interface Incoming {
  type: string
  invocation_id: string
  function_id: string
  context: { idempotency_key?: string }
  data: JobData
  result?: { messageReceiptId: string }
  error?: { code: string }
}

export interface JobData {
  n: number
  group: string
  poison: boolean
}

/** A client on a simulated socket: frames take time, stay in order, and are lost when the socket or the engine dies. */
export class QueueClient<F extends { type: string } = Incoming> {
  private readonly world: World
  private readonly onFrame: (frame: F) => void
  private readonly grant: Grant
  /** Sees what the engine sends at the moment at which it does. */
  onSend: ((frame: F) => void) | undefined
  private core: Core | undefined
  private connection: Connection | undefined
  private toEngine = 0
  private toClient = 0

  constructor(world: World, onFrame: (frame: F) => void, grant: Grant = GUEST) {
    this.world = world
    this.grant = grant
    this.onFrame = onFrame
    this.grant = grant
  }

  get connected(): boolean {
    return this.connection !== undefined
  }

  connect(core: Core, registrations: object[]): void {
    this.cut(0)
    const { world } = this
    let connection: Connection | undefined
    const link: Link = {
      send: (frame) => {
        this.toClient = Math.max(this.toClient, world.now) + world.between(0, 5)
        const text = frame.toString()
        this.onSend?.(JSON.parse(text) as F)
        world.after(this.toClient - world.now, () => {
          if (connection && this.connection === connection) this.onFrame(JSON.parse(text) as F)
        })
      },
      close: () => {},
      abort: () => {},
      buffered: () => 0,
    }
    connection = core.connect(link, this.grant)
    this.core = core
    this.connection = connection
    for (const frame of registrations) this.send(frame)
  }

  /** Gone at once on this side; the engine, if it lives, hears of it after `notice` milliseconds. */
  cut(notice: number): void {
    const { connection: dead, core } = this
    this.connection = undefined
    if (dead && core) this.world.after(notice, () => core.disconnect(dead))
  }

  /** The engine gives it up while it believes to be connected: what it sends still arrives. */
  fence(): void {
    if (this.connection) this.core?.disconnect(this.connection)
  }

  /** The other side is gone. */
  lost(): void {
    this.connection = undefined
    this.core = undefined
  }

  send(frame: object): void {
    const { connection, core, world } = this
    if (!connection || !core) return
    this.toEngine = Math.max(this.toEngine, world.now) + world.between(0, 5)
    const bytes = Buffer.from(JSON.stringify(frame))
    world.after(this.toEngine - world.now, () => {
      if (this.connection === connection) core.receive(connection, bytes)
    })
  }
}
