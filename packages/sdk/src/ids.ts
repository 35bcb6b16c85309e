import { randomFillSync } from 'node:crypto'

const block = Buffer.alloc(4096)
let used = block.length

/** A UUID of version 7 (RFC 9562): the first 48 bits are the time in milliseconds, so that ids sort by age. */
export function uuidv7(now = Date.now()): string {
  if (used === block.length) {
    randomFillSync(block)
    used = 0
  }
  const bytes = Buffer.from(block.subarray(used, used + 16))
  used += 16
  bytes.writeUIntBE(now, 0, 6)
  bytes[6] = 0x70 | (bytes[6]! & 0x0f)
  bytes[8] = 0x80 | (bytes[8]! & 0x3f)
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** `<prefix>-<uuid v7>`, the form of every id that this system gives out. */
export function newId(prefix: string): string {
  return `${prefix}-${uuidv7()}`
}
