import { isDeepStrictEqual } from 'node:util'
import type { System } from '@agentos/testing'
import type { Findings } from '../harness/findings.ts'
import { COLLECTABLE, collectedMb, memoryMb } from '../harness/observe.ts'
import type { Row } from '../harness/row.ts'
import { endingOf } from '../harness/waits.ts'
import { type Frame, WirePeer } from '../harness/wire.ts'
import { BadFrames } from '../malformed/frames.ts'

/** Frames that are sent before one waits until the engine has read them. */
const BATCH = 500
/** After so many a new connection: registrations are bounded for each. */
const BATCHES_PER_CONNECTION = 10
const LIMIT_MS = 30_000
/** After a forced collection: what the kernel counts also holds what is not collected yet. */
const MEMORY_MB = 50
const OTHERS_MS = 1_000

/**
 * Frames that no client would send, made from a seed. The engine stays, its memory too, its other clients are served, and
 * a function gets exactly the call that its text means: of two keys of one name the later one, in the envelope none.
 */
export const row: Row = {
  row: 14,
  title: 'malformed input',
  rounds: { full: 1_000_000, short: 30_000 },
  unit: 'frames',

  async run(env, findings) {
    const system = await env.engine({ env: COLLECTABLE })
    const { pid } = system.engine
    const frames = new BadFrames(env)
    const executor = await WirePeer.open(system.wsUrl)
    env.cleanUp(() => executor.terminate())
    const told = new Map<string, string>()
    let ambiguous = 0
    for (const id of ['fuzz::one', 'fuzz::two']) {
      executor.serve(id, (frame) => {
        if (judge(frame, told, findings)) ambiguous += 1
        executor.answer(frame)
      })
    }
    await executor.flushed()
    let memory: number | undefined
    let peer: WirePeer | undefined
    let sent = 0
    for (let batch = 0; sent < env.rounds; batch += 1) {
      if (!peer || peer.closed || batch % BATCHES_PER_CONNECTION === 0) {
        peer?.terminate()
        peer = await WirePeer.open(system.wsUrl)
      }
      for (let n = 0; n < BATCH && !peer.closed; n += 1) {
        peer.send(frames.next().frame)
        sent += 1
      }
      sendAmbiguous(peer, batch, told)
      const read = await endingOf(peer.flushed(), LIMIT_MS)
      if ('hung' in read) return findings.hung(`the engine reads nothing after ${sent} frames`)
      const alive = system.engine.running && system.engine.pid === pid
      if (!alive) return findings.wrong(`the engine ended after ${sent} frames`)
      executor.served.length = 0
      if (batch % BATCHES_PER_CONNECTION === 0) await serveOthers(system, findings)
      // What a start needs is there by then.
      if (memory === undefined && sent >= env.rounds / 5) memory = await collectedMb(system)
      if (batch % 200 === 199) env.say(`${sent} frames, ${memoryMb(pid).toFixed(0)} MB`)
    }
    peer?.terminate()
    await executor.flushed()
    findings.acknowledge(sent)
    findings.figure('calls with fields twice, executed as they mean', ambiguous, '')
    findings.expect(ambiguous > 0, 'no call with fields twice was executed: the check sees nothing')
    const grown = (await collectedMb(system)) - (memory ?? 0)
    findings.figure('growth of what the engine holds, from a fifth to all of it', grown, 'MB', { gate: MEMORY_MB })
    findings.figure('resident memory', memoryMb(pid), 'MB')
  },
}

/** Two calls with fields twice: in the payload the later one is meant; in the envelope nobody knows, so it is no call. */
function sendAmbiguous(peer: WirePeer, n: number, told: Map<string, string>): void {
  const [first, second] = n % 2 === 0 ? ['fuzz::one', 'fuzz::two'] : ['fuzz::two', 'fuzz::one']
  const head = '"type":"invokefunction"'
  const texts = [
    `{${head},"function_id":"${first}","data":{"nonce":"payload-${n}","n":1,"m":{"a":1},"\\u006e":2,"m":{"a":2}}}`,
    `{${head},"function_id":"${first}","data":{"nonce":"envelope-${n}"},"function\\u005fid":"${second}"}`,
  ]
  for (const [index, text] of texts.entries()) {
    told.set(`${['payload', 'envelope'][index]}-${n}`, text)
    if (!peer.closed) peer.send(text)
  }
}

/** Whether it was one of the calls whose text has fields twice. */
function judge(frame: Frame, told: ReadonlyMap<string, string>, findings: Findings): boolean {
  const { _caller_worker_id: _caller, ...data } = (frame.data ?? {}) as Record<string, unknown>
  const text = told.get(String(data.nonce))
  if (text === undefined) return false
  const meant = JSON.parse(text) as { function_id: string; data: Record<string, unknown> }
  const clear = String(data.nonce).startsWith('payload')
  const same = clear && frame.function_id === meant.function_id && isDeepStrictEqual(data, meant.data)
  findings.expect(same, `${text} was executed as ${frame.function_id} ${JSON.stringify(data)}`)
  return true
}

async function serveOthers(system: System, findings: Findings): Promise<void> {
  const other = await WirePeer.open(system.wsUrl)
  const ending = await endingOf(other.call('state::get', { scope: 's', key: 'k' }), LIMIT_MS)
  if ('hung' in ending) findings.hung('a call of another client')
  else findings.time('a call of another client', ending.ms, OTHERS_MS)
  other.terminate()
}
