import type { Spliced } from './encode.ts'

const FIN_TEXT = 0x81
const MASKED = 0x80
/** Longest head of a WebSocket frame: two bytes, the length in eight, the mask in four. */
const MAX_HEAD = 14
const SLAB_BYTES = 32 * 1024
/** From this size on a frame's bytes are handed on as they are: copying them would cost more than a chunk of its own. */
const OWN_CHUNK = 8 * 1024
/**
 * When it is time to write, though more may come: the other side then works while this one goes on. All of a turn at
 * once would cost less processor time, but the processes would wait for each other: of 64 calls in flight, 16 a write
 * make a third more calls a second than all, and more than 4 a write.
 */
const FULL = { messages: 16, bytes: 32 * 1024 }

/**
 * Text messages as they go over a WebSocket (RFC 6455, section 5.2), collected so that many leave in one write: under
 * load that is most of what a small message costs. A client's frames bear a mask of zeros, which is for loopback only,
 * where nothing on the way could be confused by crafted bytes.
 */
export class FrameBatch {
  private readonly mask: number
  private chunks: Buffer[] = []
  private slab: Buffer = Buffer.alloc(0)
  /** What is written and not in `chunks` yet lies from here to `end`. */
  private start = 0
  private end = 0
  private messages = 0
  /** Bytes that wait to be taken. */
  size = 0

  constructor(role: 'client' | 'server') {
    this.mask = role === 'client' ? MASKED : 0
  }

  add(message: string | Spliced): void {
    if (typeof message === 'string') {
      const length = Buffer.byteLength(message)
      this.head(length)
      this.text(message, length)
      return
    }
    const { head, json, tail } = message
    const headLength = Buffer.byteLength(head)
    const tailLength = Buffer.byteLength(tail)
    this.head(headLength + json.length + tailLength)
    this.text(head, headLength)
    this.bytes(json)
    this.text(tail, tailLength)
  }

  get full(): boolean {
    return this.messages >= FULL.messages || this.size >= FULL.bytes
  }

  /** Everything that was added, to be written in this order. */
  take(): Buffer[] {
    this.cut()
    const taken = this.chunks
    this.chunks = []
    this.messages = 0
    this.size = 0
    return taken
  }

  private head(length: number): void {
    this.messages += 1
    this.reserve(MAX_HEAD)
    const { slab, mask } = this
    const start = this.end
    let at = start
    slab[at++] = FIN_TEXT
    if (length < 126) slab[at++] = mask | length
    else if (length < 65_536) {
      slab[at++] = mask | 126
      slab[at++] = length >>> 8
      slab[at++] = length & 0xff
    } else {
      slab[at++] = mask | 127
      slab.writeUInt32BE(Math.floor(length / 2 ** 32), at)
      slab.writeUInt32BE(length >>> 0, at + 4)
      at += 8
    }
    if (mask !== 0) {
      slab.fill(0, at, at + 4)
      at += 4
    }
    this.end = at
    this.size += at - start
  }

  private text(text: string, length: number): void {
    if (length >= OWN_CHUNK) return this.bytes(Buffer.from(text))
    this.reserve(length)
    this.slab.write(text, this.end)
    this.end += length
    this.size += length
  }

  private bytes(bytes: Buffer): void {
    this.size += bytes.length
    if (bytes.length >= OWN_CHUNK) {
      this.cut()
      this.chunks.push(bytes)
      return
    }
    this.reserve(bytes.length)
    bytes.copy(this.slab, this.end)
    this.end += bytes.length
  }

  private reserve(bytes: number): void {
    if (this.slab.length - this.end >= bytes) return
    this.cut()
    this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
    this.start = 0
    this.end = 0
  }

  private cut(): void {
    if (this.end === this.start) return
    this.chunks.push(this.slab.subarray(this.start, this.end))
    this.start = this.end
  }
}
