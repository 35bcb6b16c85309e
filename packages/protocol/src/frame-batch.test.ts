import { describe, expect, it } from 'vitest'
import { Spliced } from './encode.ts'
import { FrameBatch } from './frame-batch.ts'

/** Reads frames as RFC 6455 has them; only what a batch may write. */
function read(bytes: Buffer): { text: string; mask: string | undefined }[] {
  const frames: { text: string; mask: string | undefined }[] = []
  for (let at = 0; at < bytes.length; ) {
    expect(bytes[at]).toBe(0x81)
    const masked = (bytes[at + 1]! & 0x80) !== 0
    let length = bytes[at + 1]! & 0x7f
    at += 2
    if (length === 126) {
      length = bytes.readUInt16BE(at)
      expect(length).toBeGreaterThan(125)
      at += 2
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(at))
      expect(length).toBeGreaterThan(65_535)
      at += 8
    }
    const mask = masked ? bytes.toString('hex', at, at + 4) : undefined
    if (masked) at += 4
    frames.push({ text: bytes.toString('utf8', at, at + length), mask })
    at += length
  }
  return frames
}

const texts = (batch: FrameBatch) => read(Buffer.concat(batch.take())).map(({ text }) => text)

describe('a batch of frames', () => {
  it('writes lengths of every kind, and characters of several bytes', () => {
    const lengths = [0, 1, 125, 126, 127, 8_191, 8_192, 65_535, 65_536, 200_000]
    const messages = [...lengths.map((length) => 'x'.repeat(length)), 'Grüße 🦀', '🦀'.repeat(40), '']
    const batch = new FrameBatch('server')
    for (const message of messages) batch.add(message)
    expect(texts(batch)).toEqual(messages)
  })

  it('writes a spliced message as one, without copying what is large', () => {
    const small = Buffer.from('[1]')
    const large = Buffer.from(`"${'é'.repeat(50_000)}"`)
    const batch = new FrameBatch('server')
    for (const json of [small, large]) batch.add(new Spliced('{"data":', json, '}'))
    const chunks = batch.take()
    expect(chunks).toContain(large)
    expect(read(Buffer.concat(chunks)).map(({ text }) => text)).toEqual(['{"data":[1]}', `{"data":${large}}`])
  })

  it('masks with zeros as a client, and not at all as a server', () => {
    for (const [role, mask] of [
      ['client', '00000000'],
      ['server', undefined],
    ] as const) {
      const batch = new FrameBatch(role)
      for (const length of [5, 200, 70_000]) batch.add('x'.repeat(length))
      expect(read(Buffer.concat(batch.take())).map((frame) => frame.mask)).toEqual([mask, mask, mask])
    }
  })

  it('is full after 16 messages or 32 kB, and starts anew once taken', () => {
    const batch = new FrameBatch('server')
    expect(batch.take()).toEqual([])
    for (let count = 0; count < 15; count += 1) batch.add('x'.repeat(1_000))
    expect(batch.full).toBe(false)
    expect(batch.size).toBe(15 * 1_004)
    batch.add('x'.repeat(1_000))
    expect(batch.full).toBe(true)
    const chunks = batch.take()
    expect(batch).toMatchObject({ full: false, size: 0 })
    batch.add('again')
    expect(batch.size).toBe(7)
    // What was taken before is not written over.
    expect(read(Buffer.concat(chunks))).toHaveLength(16)
    expect(texts(batch)).toEqual(['again'])
    batch.add('y'.repeat(32 * 1_024))
    expect(batch.full).toBe(true)
  })

  it('keeps the order over more than one slab', () => {
    const batch = new FrameBatch('client')
    const messages = Array.from({ length: 300 }, (_, index) => `${index}:${'y'.repeat(index * 7)}`)
    for (const message of messages) batch.add(message)
    expect(texts(batch)).toEqual(messages)
  })
})
