/** One message of a channel: binary frames are payload, text frames are side-band messages. */
export interface ChannelItem {
  data: Buffer
  binary: boolean
}

/** Who makes a channel. */
export interface ChannelMaker {
  realm: string
  ofGuests: boolean
  /** Connection over which it was made: unless both ends are taken, the channel ends with it. */
  workerId?: string | undefined
}

/** Bytes that may wait in one channel, however few items they are. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024

/**
 * A bounded one-way pipe between one writer and one reader. What was written before the end is always delivered before
 * the end. Whoever writes looks at `full` and waits for `onDrain`: the pipe itself never refuses an item.
 */
export class Channel {
  readonly id: string
  readonly key: string
  readonly capacity: number
  /** Reading of the monotonic clock. */
  readonly createdAt: number
  /** Any number of writers may come and go, at once or in turn; only its creator ends it. */
  readonly shared: boolean
  /** Kept until its creator removes it, whatever its age. */
  readonly pinned: boolean
  /** Who made it, where it counts towards a bound. */
  readonly maker: ChannelMaker | undefined
  readerTaken = false
  writerTaken = false
  /** Writers that are attached now. */
  writers = 0
  ended = false
  /** A writer ended without saying so: what it wrote may not be all. */
  broken = false
  /** The reader went away: nothing more is taken. */
  aborted = false
  private items: ChannelItem[] = []
  private bytes = 0
  private readable: (() => void) | undefined
  private draining: (() => void)[] = []

  constructor(init: {
    id: string
    key: string
    capacity: number
    createdAt: number
    shared: boolean
    pinned: boolean
    maker: ChannelMaker | undefined
  }) {
    this.id = init.id
    this.key = init.key
    this.capacity = init.capacity
    this.createdAt = init.createdAt
    this.shared = init.shared
    this.pinned = init.pinned
    this.maker = init.maker
  }

  get full(): boolean {
    return this.items.length >= this.capacity || this.bytes >= MAX_WAITING_BYTES
  }

  /** Ended, and everything was taken. */
  get drained(): boolean {
    return this.ended && this.items.length === 0
  }

  push(item: ChannelItem): void {
    if (this.ended || this.aborted) return
    this.items.push(item)
    this.bytes += item.data.length
    this.readable?.()
  }

  shift(): ChannelItem | undefined {
    const item = this.items.shift()
    if (!item) return undefined
    this.bytes -= item.data.length
    if (!this.full) this.runDraining()
    return item
  }

  end(): void {
    if (this.ended) return
    this.ended = true
    this.readable?.()
    this.runDraining()
  }

  abort(): void {
    if (this.aborted) return
    this.aborted = true
    this.items = []
    this.bytes = 0
    this.runDraining()
  }

  /** A writer's side closed, however it did: an end of the channel, unless others may still write. */
  writerLeft(broken = false): void {
    this.writers -= 1
    if (broken) this.broken = true
    if (this.shared) this.readable?.()
    else this.end()
  }

  /** Runs whenever something may be taken, or the end is reached. */
  onReadable(run: () => void): void {
    this.readable = run
  }

  /** Runs once, as soon as there is room again, or nobody wants more. */
  onDrain(run: () => void): void {
    if (this.full && !this.ended && !this.aborted) this.draining.push(run)
    else run()
  }

  private runDraining(): void {
    if (this.draining.length === 0) return
    const waiting = this.draining
    this.draining = []
    for (const run of waiting) run()
  }
}
