import { Redis } from 'ioredis'
import { drive, payloadOf } from '../../src/load.ts'
import { serveParent } from '../../src/peer.ts'

/** `redis.mjs <port>`: SET of the value that we write to our state. */
const redis = new Redis({ host: '127.0.0.1', port: Number(process.argv[2]), lazyConnect: true })
await redis.connect()
const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1]

serveParent(version, (load) => {
  const value = JSON.stringify(payloadOf(100))
  return drive((index) => redis.set(`bench:key-${index % 1_000}`, value), load)
})
