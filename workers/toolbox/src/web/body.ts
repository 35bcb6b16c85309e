import type { Readable } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { AgentError } from '@agentos/sdk'

export interface Body {
  bytes: Buffer
  /** There was more. */
  truncated: boolean
}

/** Text grows at most about so much when it is unpacked; what grows more is there to fill the memory. */
const BOMB_RATIO = 100

const DECODERS = new Map([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
])
export const ACCEPTED_ENCODINGS = 'gzip, deflate, br'

/** Reads and unpacks up to `limit` bytes and then stops: what is not read is never held. */
export async function readBody(source: Readable, encoding: string, limit: number): Promise<Body> {
  // Whoever reads hears of it too; a body that nobody reads any more must not end the process.
  source.on('error', () => {})
  const name = encoding.trim().toLowerCase()
  if (name === '' || name === 'identity') return collect(source, limit)
  const create = DECODERS.get(name)
  if (!create) {
    source.destroy()
    throw new AgentError(
      'unsupported_feature',
      `The answer is packed with ${name.slice(0, 50)}, which is not read here`,
    )
  }
  const decoder = create()
  source.on('error', (error) => decoder.destroy(error))
  source.on('aborted', () => decoder.destroy(new Error('aborted')))
  source.pipe(decoder)
  try {
    const body = await collect(decoder, limit)
    if (body.truncated && body.bytes.length > decoder.bytesWritten * BOMB_RATIO) {
      throw new AgentError(
        'payload_too_large',
        `The answer unpacks to more than ${limit} bytes from ${decoder.bytesWritten}`,
      )
    }
    return body
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_') || /brotli/i.test(String(error))) {
      throw new AgentError('upstream_error', `The answer is not packed as it says (${name})`, { cause: error })
    }
    throw error
  } finally {
    source.destroy()
  }
}

async function collect(stream: Readable, limit: number): Promise<Body> {
  const chunks: Buffer[] = []
  let size = 0
  // Leaving the loop destroys the stream.
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    size += chunk.length
    if (size > limit) return { bytes: Buffer.concat(chunks).subarray(0, limit), truncated: true }
  }
  return { bytes: Buffer.concat(chunks), truncated: false }
}

const TEXT =
  /^(?:text\/|application\/(?:[\w.+-]*\+)?(?:json|xml|javascript|ecmascript|yaml|x-ndjson|sql|graphql|x-www-form-urlencoded)\b)/

export function isText(contentType: string): boolean {
  return TEXT.test(contentType.trim().toLowerCase())
}

/** By the byte order mark, the header, or what the page says of itself; else UTF-8. */
export function decodeText(bytes: Buffer, contentType: string): string {
  const beginning = bytes.subarray(0, 1_024).toString('latin1')
  const named = /charset\s*=\s*["']?([\w-]+)/i
  const label =
    named.exec(contentType)?.[1] ?? (/<meta[^>]{0,200}/i.test(beginning) ? named.exec(beginning)?.[1] : undefined)
  try {
    return new TextDecoder(label ?? 'utf-8').decode(bytes)
  } catch {
    return new TextDecoder().decode(bytes)
  }
}
