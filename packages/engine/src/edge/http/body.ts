import type { IncomingMessage } from 'node:http'
import type { Readable, Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { EngineError, holdsTooLarge, isTooDeep, TOO_DEEP, TOO_LARGE_NUMBER } from '@agentos/protocol'
import type { Exchange } from './exchange.ts'

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function isJson(contentType: string | undefined): boolean {
  return /^\s*application\/([\w.-]+\+)?json\b/i.test(contentType ?? '')
}

export function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length']
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}

export function isTooLong(request: IncomingMessage, limit: number): boolean {
  return Number(request.headers['content-length'] ?? 0) > limit
}

export function tooLarge(limit: number): EngineError {
  return new EngineError('payload_too_large', `The body is over the limit of ${limit} bytes`)
}

const DECODERS = new Map<string, () => Transform>([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
])
const ACCEPTED_ENCODINGS = 'gzip, deflate, br'

/**
 * Reads a body of at most `limit` bytes, as it is sent and as it is unpacked; what is over it is never kept. `undefined`
 * where the request was refused (it has its answer then) or the client went away. An unpacked body is plain from here
 * on: the headers that said otherwise are gone.
 */
export async function readBody(exchange: Exchange, limit: number): Promise<Buffer | undefined> {
  const { request, response } = exchange
  try {
    if (isTooLong(request, limit)) throw tooLarge(limit)
    const encoding = encodingOf(request)
    return await (encoding === undefined ? collect(request, limit) : unpack(request, encoding, limit))
  } catch (error) {
    // The client went away.
    if (!(error instanceof EngineError)) return undefined
    if (error.code === 'unsupported_media_type') response.setHeader('accept-encoding', ACCEPTED_ENCODINGS)
    exchange.refuseBody(error.toBody())
    return undefined
  }
}

/** How the body is packed, in lower case; undefined for a plain one. */
function encodingOf(request: IncomingMessage): string | undefined {
  const encoding = (request.headers['content-encoding'] ?? '').trim().toLowerCase()
  return encoding === '' || encoding === 'identity' || !hasBody(request) ? undefined : encoding
}

async function unpack(request: IncomingMessage, encoding: string, limit: number): Promise<Buffer | undefined> {
  const create = DECODERS.get(encoding)
  if (!create) {
    const what = `A body with Content-Encoding: ${encoding.slice(0, 50)} is not read here`
    throw new EngineError('unsupported_media_type', `${what}; send it plain, or as one of ${ACCEPTED_ENCODINGS}`)
  }
  const decoder = create()
  request.pipe(decoder)
  // A client that leaves ends nothing by itself.
  request.once('close', () => {
    if (!request.readableEnded) decoder.destroy()
  })
  try {
    const body = await collect(decoder, limit)
    delete request.headers['content-encoding']
    delete request.headers['content-length']
    return body
  } catch (error) {
    if (error instanceof EngineError) throw error
    throw new EngineError('invalid_input', `The body is not packed as its Content-Encoding says (${encoding})`)
  } finally {
    request.unpipe(decoder)
    decoder.destroy()
  }
}

/** At most `limit` bytes; `undefined` where the source ends before its end. Rejects with what the source fails with. */
function collect(source: Readable, limit: number): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const take = (chunk: Buffer): void => {
      size += chunk.length
      if (size <= limit) {
        chunks.push(chunk)
        return
      }
      chunks.length = 0
      source.off('data', take)
      reject(tooLarge(limit))
    }
    source.on('data', take)
    source.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    source.once('close', () => resolve(undefined))
    source.once('error', reject)
  })
}

/** Bytes that are not JSON in UTF-8; what is JSON and refused all the same is another error. */
export class NotJson extends EngineError {}

/**
 * Parses JSON text. Throws `invalid_input` for what is not JSON in UTF-8, nested too deeply, or holds a number that no
 * double holds: such bytes are never passed on as JSON.
 */
export function parseJson(body: Buffer): unknown {
  if (isTooDeep(body)) throw new EngineError('invalid_input', `The body is ${TOO_DEEP}`)
  let value: unknown
  try {
    value = JSON.parse(strictUtf8.decode(body))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new NotJson('invalid_input', `The body is not valid JSON: ${reason.slice(0, 200)}`)
  }
  if (holdsTooLarge(body, value)) throw new EngineError('invalid_input', `The body holds ${TOO_LARGE_NUMBER}`)
  return value
}
