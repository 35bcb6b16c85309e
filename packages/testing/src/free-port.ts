import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'

const LOWEST = 10_000
const ATTEMPTS = 100

/**
 * A TCP port of the loopback that nobody listens on. It is not one of those that the system hands out by itself, so that
 * no outgoing connection takes it while its owner is away, for example between a kill and the next start.
 */
export async function freePort(): Promise<number> {
  const end = firstOfTheSystem()
  // Where the system hands out nearly all of them, there is no better one.
  if (end < 2 * LOWEST) return listenOnce(0)
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await listenOnce(randomInt(LOWEST, end))
    } catch (error) {
      if (attempt >= ATTEMPTS) throw error
    }
  }
}

/** The first port that the system gives to connections and to whoever asks for any. */
function firstOfTheSystem(): number {
  try {
    return Number.parseInt(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8'), 10)
  } catch {
    // As other systems have it at the lowest.
    return 32_768
  }
}

function listenOnce(port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : port))
    })
  })
}
