import { execFileSync, spawnSync } from 'node:child_process'
import { connect, type Socket } from 'node:net'
import { fillSmallDisk, hasSmallDisk } from '../disk/small-disk.ts'
import { type Seen, withFault } from '../disk/with-fault.ts'
import type { Findings } from '../harness/findings.ts'
import { descriptorsOf, p99Of } from '../harness/observe.ts'
import type { Row, RowEnv } from '../harness/row.ts'
import { endingOf, isTyped, until } from '../harness/waits.ts'
import { hasStrace } from '../power-cut/trace.ts'

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0
const LIMIT_MS = 20_000
/** Calls that touch no disk, while each sync takes 200 ms. */
const READ_MS = 50

/**
 * The kernel's answers for the store's log are replaced: EIO at a write, at a sync, syncs of 200 ms; a disk of two
 * megabytes runs full; a running engine has no descriptor left. What is refused is refused by a typed error, what needs
 * no disk goes on, and all of it works again without a restart.
 */
export const row: Row = {
  row: 11,
  title: 'slow disk, full disk, EIO, EMFILE',
  rounds: { full: 20, short: 1 },
  unavailable: () => (hasStrace ? undefined : 'strace is not installed'),

  async run(env, findings) {
    for (let round = 0; round < env.rounds; round += 1) {
      await failingDisk(env, findings)
      if (hasSmallDisk) await fullDisk(findings)
      if (hasPrlimit) await noDescriptors(env, findings)
    }
    if (!hasSmallDisk) findings.note('the full disk was left out: this user cannot mount a small one')
    if (!hasPrlimit) findings.note('EMFILE was left out: there is no prlimit')
  },
}

async function failingDisk(env: RowEnv, findings: Findings): Promise<void> {
  const writes = 40
  const from = env.between(9, 20)
  for (const [what, inject] of [
    ['EIO at a sync', `fsync,fdatasync:error=EIO:when=${from}..${from + 3}`],
    ['EIO at a write', `pwrite64:error=EIO:when=${from + 20}..${from + 26}`],
  ] as const) {
    const seen = await withFault(env.folder(), inject, writes)
    const refused = seen.codes.filter((code) => code !== 'ok')
    findings.expect(refused.length > 0, `${what}: no write was refused`)
    for (const code of refused)
      findings.expect(code === 'store_unavailable', `${what}: a write was refused with ${code}`)
    findings.expect(seen.codes.at(-1) === 'ok', `${what}: writes are refused after the disk is well again`)
    count(what, seen, findings)
  }
  const slow = await withFault(env.folder(), 'fsync,fdatasync:delay_enter=200000', 5)
  findings.time('a read while each sync takes 200 ms', slow.slowest.readMs, READ_MS)
  findings.expect(slow.fewestReads > 3, 'reads wait for a slow sync')
  count('slow syncs', slow, findings)
}

function count(what: string, { codes, lost }: Seen, findings: Findings): void {
  findings.acknowledge(codes.filter((code) => code === 'ok').length)
  for (const n of lost) findings.lost(`${what}: the write ${n}`)
}

async function fullDisk(findings: Findings): Promise<void> {
  const { written, refusal, lost, later } = await fillSmallDisk()
  findings.acknowledge(written)
  findings.expect(refusal === 'store_unavailable', `on a full disk a write is refused with ${refusal}`)
  findings.expect(later === 'ok', `after the disk has room again a write is refused with ${later}`)
  for (const key of lost) findings.lost(`full disk: ${key}`)
}

/** Takes all descriptors of a running engine but a few, and connects until there is none. */
async function noDescriptors(env: RowEnv, findings: Findings): Promise<void> {
  const system = await env.engine()
  const client = system.client()
  const read = () => client.state.get('files', 'k')
  const write = () => client.state.set('files', 'k', 1)
  await write()
  const { pid } = system.engine
  const limit = descriptorsOf(pid) + 20
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${limit}:`])
  const sockets = Array.from({ length: 60 }, () => idleSocket(system.httpUrl))
  await until(() => descriptorsOf(pid) >= limit - 1, LIMIT_MS)
  findings.expect(descriptorsOf(pid) >= limit - 1, 'the engine still has descriptors')
  const during = await p99Of(100, read)
  findings.time('p99 of a call while no descriptor is left', during, READ_MS)
  const ending = await endingOf(write(), LIMIT_MS)
  if ('hung' in ending) findings.hung('a write while no descriptor is left')
  else if ('code' in ending) findings.expect(isTyped(ending.code), `a write ended with ${String(ending.error)}`)
  else findings.acknowledge()
  for (const socket of sockets) socket.destroy()
  const well = await until(async () => (await system.api('GET', '/health')).status === 200, LIMIT_MS)
  findings.expect(well && system.engine.running, 'the engine takes no connection after there are descriptors again')
  findings.expect((await read()) === 1, 'the state is not there after there are descriptors again')
  await system.stop()
}

function idleSocket(url: string): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.on('error', () => {})
  return socket
}
