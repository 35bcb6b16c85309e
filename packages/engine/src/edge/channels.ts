import { timingSafeEqual } from 'node:crypto'
import { EngineError } from '@agentos/protocol'
import type { WebSocket } from 'ws'
import { type GuestShare, isOfGuests } from '../core/guest-share.ts'
import type { BuiltinCall, ChannelRef, EngineModule } from '../core/module.ts'
import { overloaded } from '../core/overload.ts'
import type { Ports, Timer } from '../core/ports.ts'
import { Channel, type ChannelItem, type ChannelMaker } from './channel.ts'
import { attachReader, attachWriter } from './channel-socket.ts'

const DEFAULT_BUFFER = 64
const MAX_BUFFER = 1024
const SWEEP_MS = 60_000
const UNUSED_MS = 5 * 60_000
/** Channels that one realm made over the bus; those of the HTTP edge are bounded by the requests in service. */
const MAX_CHANNELS = 10_000

export interface ChannelPair {
  writer: ChannelRef
  reader: ChannelRef
}

export interface CreateChannelOptions {
  /** Items that may wait, 1 to 1024. @default 64 */
  bufferSize?: number
  /** Several writers may attach, in turn or at once; the creator ends the channel. */
  shared?: boolean
  /** Stays until `remove`. */
  pinned?: boolean
  /** Whose bound it counts towards; without one it counts towards none. */
  maker?: ChannelMaker
}

/** The reading end inside the engine's process. */
export interface LocalReader {
  /** The next item, or nothing for now. */
  next(): ChannelItem | undefined
  /** Ended, and everything was taken. */
  readonly drained: boolean
  /** A writer ended without saying so: what was read may not be all. */
  readonly broken: boolean
  /** Writers that are attached at the moment. */
  readonly writers: number
  /** A writer came at some time. */
  readonly attached: boolean
  /** Runs whenever `next`, `drained` or `writers` may have changed. */
  onReadable(run: () => void): void
  /** Nobody wants more: writers are closed at their next write. */
  close(): void
}

/** The writing end inside the engine's process. */
export interface LocalWriter {
  /** Takes the item in any case; `false` asks to wait for `onDrain`. A string becomes a text frame. */
  write(data: Buffer | string): boolean
  onDrain(run: () => void): void
  readonly aborted: boolean
  end(): void
}

/** All channels of this engine: pipes that are addressed by capability and relay messages one to one, in order. */
export class ChannelTable {
  private readonly ports: Pick<Ports, 'clock' | 'timers' | 'ids'>
  private readonly limit: number
  private readonly channels = new Map<string, Channel>()
  /** Channels by realm that count there. */
  private readonly perRealm = new Map<string, number>()
  /** Those made over each connection that is open. */
  private readonly made = new Map<string, Set<Channel>>()
  private readonly guests: GuestShare
  private sweeper: Timer | undefined

  constructor(ports: Pick<Ports, 'clock' | 'timers' | 'ids'>, guests: GuestShare, options: { limit?: number } = {}) {
    this.ports = ports
    this.guests = guests
    this.limit = options.limit ?? MAX_CHANNELS
  }

  get size(): number {
    return this.channels.size
  }

  /** Makes a channel. Throws `overloaded` where there are too many. */
  create(options: CreateChannelOptions = {}): ChannelPair {
    const { maker, pinned = false } = options
    if (maker) this.count(maker)
    const size = Math.trunc(options.bufferSize ?? DEFAULT_BUFFER)
    const channel = new Channel({
      id: this.ports.ids.uuid(),
      key: this.ports.ids.uuid(),
      capacity: Math.min(MAX_BUFFER, Math.max(1, size)),
      createdAt: this.ports.clock.monotonic(),
      shared: options.shared ?? false,
      pinned,
      maker,
    })
    this.channels.set(channel.id, channel)
    if (maker?.workerId !== undefined) this.madeOver(maker.workerId).add(channel)
    if (!pinned) this.sweeper ??= this.ports.timers.set(SWEEP_MS, () => this.sweep())
    const ref = { channel_id: channel.id, access_key: channel.key }
    return { writer: { ...ref, direction: 'write' }, reader: { ...ref, direction: 'read' } }
  }

  /** Status of an upgrade to `/ws/channels/:id?key=&dir=`: 101 is welcome. */
  check(id: string, key: string | null, dir: string | null): 101 | 400 | 404 {
    if (!key || (dir !== 'read' && dir !== 'write')) return 400
    return this.find(id, key) ? 101 : 404
  }

  /** Does this channel, and a socket of it, count against the bounds of the guests? */
  isOfGuests(id: string): boolean {
    return this.channels.get(id)?.maker?.ofGuests === true
  }

  /** A connection has ended: with it what it made that is not in use at both ends. */
  left(workerId: string): void {
    const made = this.made.get(workerId)
    this.made.delete(workerId)
    for (const channel of made ?? []) if (!channel.readerTaken || !channel.writerTaken) this.drop(channel)
  }

  /** Connects an accepted socket to one end. An end is taken once: the second socket is closed at once. */
  attach(socket: WebSocket, id: string, key: string, dir: 'read' | 'write'): void {
    const channel = this.find(id, key)
    if (!channel || !this.take(channel, dir)) {
      socket.close(1008, 'channel_taken')
      return
    }
    socket.on('error', () => socket.terminate())
    // Before the end's own handler, which may be the last to touch the channel.
    socket.on('close', () => queueMicrotask(() => this.forget(channel)))
    if (dir === 'read') attachReader(socket, channel)
    else attachWriter(socket, channel)
  }

  /** Takes the reading end without a socket. Throws `not_found`, or `conflict` where it is taken. */
  openReader(ref: ChannelRef): LocalReader {
    const channel = this.open(ref, 'read')
    return {
      next: () => channel.shift(),
      get drained() {
        return channel.drained
      },
      get broken() {
        return channel.broken
      },
      get writers() {
        return channel.writers
      },
      get attached() {
        return channel.writerTaken
      },
      onReadable: (run) => channel.onReadable(run),
      close: () => {
        channel.abort()
        this.forget(channel)
      },
    }
  }

  /** Takes the writing end without a socket. Throws `not_found`, or `conflict` where it is taken. */
  openWriter(ref: ChannelRef): LocalWriter {
    const channel = this.open(ref, 'write')
    let open = true
    return {
      write: (data) => {
        const binary = typeof data !== 'string'
        if (open) channel.push({ data: binary ? data : Buffer.from(data), binary })
        return !channel.full
      },
      onDrain: (run) => channel.onDrain(run),
      get aborted() {
        return channel.aborted
      },
      end: () => {
        if (!open) return
        open = false
        channel.writerLeft()
        this.forget(channel)
      },
    }
  }

  /** Ends a channel and lets go of it: a reader gets what waits and the end, a writer is closed at its next write. */
  remove(ref: { channel_id: string }): void {
    const channel = this.channels.get(ref.channel_id)
    if (channel) this.drop(channel)
  }

  private open(ref: ChannelRef, dir: 'read' | 'write'): Channel {
    const channel = this.find(ref.channel_id, ref.access_key)
    if (!channel) throw new EngineError('not_found', `There is no channel ${ref.channel_id} with this key`)
    if (!this.take(channel, dir)) {
      throw new EngineError('conflict', `The ${dir} end of channel ${ref.channel_id} is taken already`)
    }
    return channel
  }

  private take(channel: Channel, dir: 'read' | 'write'): boolean {
    if (dir === 'read') {
      if (channel.readerTaken) return false
      channel.readerTaken = true
      return true
    }
    if (channel.writerTaken && !channel.shared) return false
    channel.writerTaken = true
    channel.writers += 1
    return true
  }

  private find(id: string, key: string): Channel | undefined {
    const channel = this.channels.get(id)
    if (!channel) return undefined
    const given = Buffer.from(key)
    const expected = Buffer.from(channel.key)
    return given.length === expected.length && timingSafeEqual(given, expected) ? channel : undefined
  }

  /** Both ends are done with it. */
  private forget(channel: Channel): void {
    if (channel.pinned || channel.writers > 0 || !channel.writerTaken || !channel.readerTaken) return
    if (channel.aborted || channel.drained) this.drop(channel)
  }

  private drop(channel: Channel): void {
    if (!this.channels.delete(channel.id)) return
    if (channel.maker) this.uncount(channel.maker)
    if (channel.maker?.workerId !== undefined) this.made.get(channel.maker.workerId)?.delete(channel)
    channel.end()
    if (!channel.readerTaken) channel.abort()
  }

  private count({ realm, ofGuests }: ChannelMaker): void {
    if (ofGuests) return this.guests.take('channels')
    const count = this.perRealm.get(realm) ?? 0
    if (count >= this.limit) throw overloaded(`Realm ${realm} has ${count} channels already; close some and try again`)
    this.perRealm.set(realm, count + 1)
  }

  private uncount({ realm, ofGuests }: ChannelMaker): void {
    if (ofGuests) return this.guests.give('channels')
    const left = (this.perRealm.get(realm) ?? 1) - 1
    if (left > 0) this.perRealm.set(realm, left)
    else this.perRealm.delete(realm)
  }

  private madeOver(workerId: string): Set<Channel> {
    let made = this.made.get(workerId)
    if (!made) {
      made = new Set()
      this.made.set(workerId, made)
    }
    return made
  }

  private sweep(): void {
    this.sweeper = undefined
    const oldest = this.ports.clock.monotonic() - UNUSED_MS
    for (const channel of this.channels.values()) {
      if (channel.pinned || channel.createdAt > oldest) continue
      if (!channel.readerTaken || !channel.writerTaken) this.drop(channel)
    }
    if (this.channels.size > 0) this.sweeper = this.ports.timers.set(SWEEP_MS, () => this.sweep())
  }
}

/** Registers `engine::channels::create`. */
export function createChannelsModule(table: ChannelTable): EngineModule {
  return {
    name: 'channels',
    start(host) {
      host.onConnectionEnd((workerId) => table.left(workerId))
      host.registerFunction({
        id: 'engine::channels::create',
        summary: 'Make a one-way pipe between two workers; whoever holds a reference may take its end',
        effects: 'write',
        idempotent: true,
        request_format: {
          type: 'object',
          properties: {
            buffer_size: { type: 'integer', minimum: 1, maximum: MAX_BUFFER, default: DEFAULT_BUFFER },
            shared: {
              type: 'boolean',
              default: false,
              description: 'Several writers may attach, in turn or at once; the channel then ends with its reader',
            },
          },
        },
        handle(call) {
          const bufferSize = bufferSizeOf(call)
          if (bufferSize === null) return
          try {
            const shared = inputOf(call).shared === true
            const { context, caller } = call
            const maker = { realm: context.realm, ofGuests: isOfGuests(context), workerId: caller.workerId }
            call.reply(table.create({ shared, maker, ...(bufferSize === undefined ? {} : { bufferSize }) }))
          } catch (error) {
            if (!(error instanceof EngineError)) throw error
            call.fail(error.code, error.message, error.details)
          }
        },
      })
    },
  }
}

function inputOf(call: BuiltinCall): Record<string, unknown> {
  const { input } = call
  return typeof input === 'object' && input !== null ? (input as Record<string, unknown>) : {}
}

/** `null` where the call was failed. */
function bufferSizeOf(call: BuiltinCall): number | undefined | null {
  const size = inputOf(call).buffer_size
  if (size === undefined || size === null) return undefined
  if (typeof size === 'number' && Number.isFinite(size)) return size
  call.fail('deserialization_error', `Failed to deserialize input for ${call.functionId}: buffer_size is not a number`)
  return null
}
