import { Pool } from 'undici'
import { drive, type Load, payloadOf } from './load.ts'
import { serveParent } from './peer.ts'

export interface HttpQuestion extends Load {
  origin: string
  path: string
  /** The owner's, who looks into the guests' realm, where the worker is: guests share a quota that a benchmark would use up. */
  token?: string
}

const body = JSON.stringify(payloadOf(100))
const pools = new Map<string, Pool>()

/** Posts a small JSON body over as many connections as requests are in flight. */
serveParent('ready', ({ origin, path, token, ...load }: HttpQuestion) => {
  const key = `${origin} ${load.inFlight}`
  const pool = pools.get(key) ?? new Pool(origin, { connections: load.inFlight, pipelining: 1 })
  pools.set(key, pool)
  const headers = {
    'content-type': 'application/json',
    ...(token === undefined ? {} : { authorization: `Bearer ${token}`, 'x-agentos-realm': 'guest' }),
  }
  return drive(async () => {
    const answer = await pool.request({ method: 'POST', path, headers, body })
    const text = await answer.body.text()
    if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}: ${text}`)
  }, load)
})
