import type { IncomingMessage } from 'node:http'
import { EngineError } from '@agentos/protocol'
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

/**
 * Reads a body of at most `limit` bytes; what is over it is never kept. `undefined` where the request was refused (it
 * has its answer then) or the client went away.
 */
export function readBody(exchange: Exchange, limit: number): Promise<Buffer | undefined> {
  const { request } = exchange
  if (isTooLong(request, limit)) {
    exchange.refuseBody(tooLarge(limit).toBody())
    return Promise.resolve(undefined)
  }
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    const done = (body: Buffer | undefined): void => {
      request.off('data', take)
      resolve(body)
    }
    const take = (chunk: Buffer): void => {
      size += chunk.length
      if (size <= limit) {
        chunks.push(chunk)
        return
      }
      chunks.length = 0
      done(undefined)
      exchange.refuseBody(tooLarge(limit).toBody())
    }
    request.on('data', take)
    request.once('end', () => done(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    request.once('close', () => done(undefined))
    request.once('error', () => done(undefined))
  })
}

/** Parses JSON text. Throws `invalid_input` for what is not JSON in UTF-8: such bytes are never passed on as JSON. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(strictUtf8.decode(body))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new EngineError('invalid_input', `The body is not valid JSON: ${reason.slice(0, 200)}`)
  }
}
