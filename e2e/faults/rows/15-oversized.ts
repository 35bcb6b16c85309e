import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { System } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import { COLLECTABLE, collectedMb, memoryMb } from '../harness/observe.ts'
import type { Row } from '../harness/row.ts'
import { endingOf } from '../harness/waits.ts'

const LIMIT_MS = 30_000
/** Twelve times the greatest frame: most is what V8 lets lie for a while of the hundreds of megabytes that come in. */
const MEMORY_MB = 192
/** After a collection: nothing of all that is kept. */
const HELD_MB = { goal: 20, gate: 30 }
const MIB = 1024 * 1024

/**
 * Frames and bodies that say, or turn out, to be larger than the limit; messages in very many fragments; values that are
 * too large for their place. Each is refused by its limit before it is buffered.
 */
export const row: Row = {
  row: 15,
  title: 'oversized payloads, many small fragments',
  rounds: { full: 20, short: 2 },

  async run(env, findings) {
    const system = await env.engine({ env: COLLECTABLE })
    const { pid } = system.engine
    const client = system.client()
    await client.state.set('large', 'k', 1)
    const heldBefore = await collectedMb(system)
    const before = memoryMb(pid)
    let most = before
    const timer = setInterval(() => {
      most = Math.max(most, memoryMb(pid))
    }, 10)
    env.cleanUp(() => clearInterval(timer))
    for (let round = 0; round < env.rounds; round += 1) {
      await claimedFrame(system, findings)
      await manyFragments(system, findings)
      await largeBodies(system, findings)
      const ending = await endingOf(client.state.set('large', 'k', 'x'.repeat(5 * MIB)), LIMIT_MS)
      findings.expect('code' in ending && ending.code === 'VALUE_TOO_LARGE', 'a value over the limit is not refused')
      const frame = await endingOf(client.state.set('large', 'k', 'x'.repeat(17 * MIB)), LIMIT_MS)
      findings.expect('code' in frame && frame.code === 'payload_too_large', 'a call over the limit is not refused')
      const served = await endingOf(client.state.get('large', 'k'), LIMIT_MS)
      if ('value' in served && served.value === 1) findings.acknowledge()
      else findings.wrong('another client is not served')
    }
    findings.expect(system.engine.running && system.engine.pid === pid, 'the engine ended')
    findings.figure('memory at most', most - before, 'MB', { gate: MEMORY_MB })
    findings.figure('memory held afterwards', (await collectedMb(system)) - heldBefore, 'MB', HELD_MB)
  },
}

/** A frame whose head says that a terabyte follows: the connection ends at the head. */
async function claimedFrame(system: System, findings: Findings): Promise<void> {
  const socket = await upgraded(system)
  const head = Buffer.alloc(14)
  head[0] = 0x81
  head[1] = 0x80 | 127
  head.writeBigUInt64BE(2n ** 40n, 2)
  socket.write(head)
  await expectClose(socket, 1009, 'a frame that says it is too large', findings)
}

/** One message in fragments of one byte, never ended. */
async function manyFragments(system: System, findings: Findings): Promise<void> {
  const socket = await upgraded(system)
  const fragment = Buffer.from([0x00, 0x81, 0, 0, 0, 0, 0x20])
  const many = Buffer.concat(Array.from({ length: 20_000 }, () => fragment))
  socket.write(Buffer.from([0x01, 0x81, 0, 0, 0, 0, 0x20]))
  const ended = closeCode(socket)
  let code: number | undefined
  void ended.then((seen) => {
    code = seen
  })
  for (let n = 0; n < 1_000 && code === undefined && !socket.destroyed; n += 1) {
    if (!socket.write(many)) await Promise.race([once(socket, 'drain'), ended, once(socket, 'close')]).catch(() => {})
  }
  // 0: a client that is still sending may see the reset before the reason.
  await expectEnd(ended, [1009, 1008, 0], 'a message in very many fragments', findings)
  socket.destroy()
}

async function largeBodies(system: System, findings: Findings): Promise<void> {
  const { port } = new URL(system.httpUrl)
  const head = `POST /v1/functions/call HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n`
  const claimed = await answerTo(Number(port), `${head}Content-Length: ${2 ** 40}\r\n\r\n{`)
  findings.expect(isTooLarge(claimed), `a body that says it is too large is answered ${claimed.slice(0, 100)}`)
  const chunk = `${(64 * 1024).toString(16)}\r\n${'x'.repeat(64 * 1024)}\r\n`
  const grown = await answerTo(Number(port), `${head}Transfer-Encoding: chunked\r\n\r\n`, chunk)
  findings.expect(isTooLarge(grown), `a body that grows too large is answered ${grown.slice(0, 100)}`)
}

function isTooLarge(answer: string): boolean {
  return answer.startsWith('HTTP/1.1 413 ') && answer.includes('payload_too_large')
}

/** Sends a head, then the same piece until there is an answer. */
function answerTo(port: number, head: string, piece?: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(head)
      if (piece !== undefined) more()
    })
    let text = ''
    const done = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(text)
    }
    const timer = setTimeout(done, LIMIT_MS)
    const more = (): void => {
      while (text === '' && !socket.destroyed && socket.write(piece!));
      if (text === '' && !socket.destroyed) socket.once('drain', more)
    }
    socket.on('data', (data) => {
      text += data.toString('latin1')
      if (text.includes('payload_too_large')) done()
    })
    socket.on('error', () => {})
    socket.on('close', done)
  })
}

/** A socket after its WebSocket handshake and the greeting. */
async function upgraded(system: System): Promise<Socket> {
  const { port } = new URL(system.wsUrl)
  const socket = connect(Number(port), '127.0.0.1')
  socket.on('error', () => {})
  const key = randomBytes(16).toString('base64')
  socket.write(
    `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  )
  let text = ''
  while (!text.includes('workerregistered')) {
    const [data] = (await once(socket, 'data')) as [Buffer]
    text += data.toString('latin1')
  }
  return socket
}

/** The code of the close frame; 0 where the connection ends without one. */
function closeCode(socket: Socket): Promise<number> {
  return new Promise((resolve) => {
    socket.on('data', (data: Buffer) => {
      const at = data.indexOf(0x88)
      if (at >= 0 && data.length >= at + 4) resolve(data.readUInt16BE(at + 2))
    })
    socket.on('close', () => resolve(0))
  })
}

async function expectClose(socket: Socket, code: number, what: string, findings: Findings): Promise<void> {
  await expectEnd(closeCode(socket), [code], what, findings)
  socket.destroy()
}

async function expectEnd(ended: Promise<number>, codes: number[], what: string, findings: Findings): Promise<void> {
  const ending = await endingOf(ended, LIMIT_MS)
  if ('hung' in ending) return findings.hung(`the connection of ${what}`)
  const code = 'value' in ending ? ending.value : 0
  findings.expect(codes.includes(code), `${what} ended its connection with ${code}, not with ${codes.join(' or ')}`)
  findings.time('a limit is enforced', ending.ms, 5_000)
}
