import { setTimeout as delay } from 'node:timers/promises'
import type { ChannelRef } from '@agentos/protocol'
import { WebSocket } from 'ws'
import { backoffDelay } from './backoff.ts'
import { isLoopback, noMask } from './connection.ts'
import { Cork } from './cork.ts'
import { AgentError } from './errors.ts'

/** An attached end of a channel. */
export interface ChannelSocket {
  socket: WebSocket
  cork: Cork
}

const ATTEMPTS = 6

/**
 * Attaches to one end of a channel. An engine that is just restarting is tried for about two seconds; a channel that it
 * does not know is an error at once.
 */
export async function attach(
  address: string,
  ref: ChannelRef,
  prepare?: (socket: WebSocket) => void,
): Promise<ChannelSocket> {
  const dir = ref.direction
  const base = address.replace(/\/+$/, '')
  const query = new URLSearchParams({ key: ref.access_key, dir })
  const url = `${base}/ws/channels/${encodeURIComponent(ref.channel_id)}?${query}`
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await open(url, prepare)
    } catch (error) {
      if (error instanceof AgentError) throw error
      if (attempt + 1 >= ATTEMPTS) {
        throw new AgentError('engine_lost', 'The channel could not be reached; the engine is away', { cause: error })
      }
      const backoff = { initialDelayMs: 50, maxDelayMs: 1_000, backoffMultiplier: 2, jitterFactor: 0.3 }
      await delay(backoffDelay(backoff, attempt, Math.random()))
    }
  }
}

function open(url: string, prepare?: (socket: WebSocket) => void): Promise<ChannelSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, {
      perMessageDeflate: false,
      handshakeTimeout: 10_000,
      maxPayload: 100 * 1024 * 1024,
      ...(isLoopback(url) ? { generateMask: noMask } : {}),
    })
    // Before the first turn of the loop: data may come in the same read as the upgrade.
    prepare?.(socket)
    let cork: Cork | undefined
    socket.on('upgrade', (response) => {
      cork = new Cork(response.socket)
    })
    socket.on('open', () => resolve({ socket, cork: cork! }))
    socket.on('unexpected-response', (_request, response) => {
      response.resume()
      const status = response.statusCode ?? 0
      reject(
        status === 404
          ? new AgentError('not_found', 'There is no such channel: it was consumed, has expired, or its key is wrong')
          : status >= 400 && status < 500
            ? new AgentError('invalid_input', `The engine refused the channel with status ${status}`)
            : new Error(`status ${status}`),
      )
      socket.terminate()
    })
    socket.on('error', reject)
  })
}
