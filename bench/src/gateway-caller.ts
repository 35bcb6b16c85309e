import { Pool } from 'undici'
import { drive, type Load, type Measured } from './load.ts'
import { serveParent } from './peer.ts'
import { quantile } from './statistics.ts'

/** Where chat completions are asked for. */
export interface GatewayTarget {
  origin: string
  path: string
  headers: Record<string, string>
  model: string
}

export interface GatewayQuestion extends Load {
  target: GatewayTarget
  /** Asks for the answer in pieces, and takes the time to the first of them. */
  streamed: boolean
}

const pools = new Map<string, Pool>()

serveParent('ready', async ({ target, streamed, ...load }: GatewayQuestion): Promise<Measured> => {
  const key = `${target.origin} ${load.inFlight}`
  const pool = pools.get(key) ?? new Pool(target.origin, { connections: load.inFlight, pipelining: 1 })
  pools.set(key, pool)
  const firstBytes: number[] = []
  const ask = askOf(pool, target, streamed)
  const measured = await drive(async () => void firstBytes.push(await ask()), load)
  return streamed ? { ...measured, p50: quantile(firstBytes, 0.5), p99: quantile(firstBytes, 0.99) } : measured
})

/** Asks once and reads the whole answer; resolves with the milliseconds to its first byte. */
function askOf(pool: Pool, { path, headers, model }: GatewayTarget, stream: boolean): () => Promise<number> {
  const body = JSON.stringify({
    model,
    messages: [
      { role: 'system', content: 'Answer in one sentence.' },
      { role: 'user', content: 'What is 17 times 23?' },
    ],
    max_tokens: 100,
    ...(stream ? { stream: true } : {}),
  })
  const all = { 'content-type': 'application/json', ...headers }
  return async () => {
    const begin = performance.now()
    const answer = await pool.request({ method: 'POST', path, headers: all, body })
    let first: number | undefined
    let text = ''
    for await (const part of answer.body) {
      first ??= performance.now() - begin
      text += (part as Buffer).toString()
    }
    const isWhole = stream ? text.includes('391') && text.trimEnd().endsWith('data: [DONE]') : text.includes('391')
    if (answer.statusCode !== 200 || !isWhole) throw new Error(`${path} answered ${answer.statusCode}: ${text}`)
    return first!
  }
}
