import { connect } from '@nats-io/transport-node'
import { drive, payloadOf } from '../../src/load.ts'
import { serveParent } from '../../src/peer.ts'

/** `nats.mjs echo|caller <port>`: request and reply with JSON as payload, as our bus carries values. */
const [, , role, port] = process.argv

const connection = await connect({ servers: `127.0.0.1:${port}` })
const encode = (value) => Buffer.from(JSON.stringify(value))

if (role === 'echo') {
  connection.subscribe('bench.echo', { callback: (_error, message) => message.respond(encode(message.json())) })
  await connection.flush()
  serveParent(connection.info.version)
} else {
  serveParent('connected', ({ bytes, ...load }) => {
    const payload = payloadOf(bytes)
    return drive(async () => {
      const answer = await connection.request('bench.echo', encode(payload), { timeout: 60_000 })
      return answer.json()
    }, load)
  })
}
