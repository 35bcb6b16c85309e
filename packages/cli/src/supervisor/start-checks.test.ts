import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { Settings } from '../config.ts'
import { Refusal } from '../refusal.ts'
import { DATA_FORMAT, prepareDataFolder } from './data-folder.ts'
import { runningSupervisor, takeLock } from './lock.ts'
import { sweepOrphans, writePids } from './orphans.ts'
import { assertPortsFree } from './ports.ts'
import { commandOf, isAlive, listeningInodes, saysEnded, startOf } from './process-table.ts'

const folder = () => mkdtempSync(join(tmpdir(), 'agentos-start-'))
const refusal = async (run: () => unknown): Promise<Refusal> => {
  try {
    await run()
  } catch (error) {
    if (error instanceof Refusal) return error
    throw error
  }
  throw new Error('was not refused')
}

describe('data folder', () => {
  it('is created, and has no format before it has a store', () => {
    const data = join(folder(), 'data')
    prepareDataFolder(data)
    expect(readdirSync(data)).toEqual(['logs'])
  })

  it('has the format that the engine writes', () => {
    const record = readFileSync(join(import.meta.dirname, '../../../engine/src/store/record.ts'), 'utf8')
    expect(record).toContain(`DATA_FORMAT = ${DATA_FORMAT}\n`)
  })

  it('of a newer version is refused and left as it is', async () => {
    const data = folder()
    writeFileSync(join(data, 'format'), '99\n')
    expect((await refusal(() => prepareDataFolder(data))).code).toBe('data_newer')
    expect(readFileSync(join(data, 'format'), 'utf8')).toBe('99\n')
  })

  it('that is none of ours is refused', async () => {
    const data = folder()
    writeFileSync(join(data, 'format'), 'parquet')
    expect((await refusal(() => prepareDataFolder(data))).code).toBe('data_format_unknown')
  })

  it.skipIf(process.getuid?.() === 0)('that cannot be written is refused', async () => {
    const data = folder()
    chmodSync(data, 0o500)
    expect((await refusal(() => prepareDataFolder(data))).code).toBe('data_not_writable')
  })

  it('whose place is a file is refused as one that cannot be written', async () => {
    const file = join(folder(), 'data')
    writeFileSync(file, '')
    expect((await refusal(() => prepareDataFolder(file))).code).toBe('data_not_writable')
  })
})

describe('lock', () => {
  it('refuses a second start and names the process, its page and how to stop it', async () => {
    const data = folder()
    const release = takeLock(data, 'http://127.0.0.1:3111/')
    const second = await refusal(() => takeLock(data, 'http://127.0.0.1:3111/'))
    expect(second.code).toBe('already_running')
    expect(second.detail).toContain(String(process.pid))
    expect(second.detail).toContain('http://127.0.0.1:3111/')
    expect(second.advice.join()).toContain(`kill ${process.pid}`)
    expect(runningSupervisor(data)?.pid).toBe(process.pid)
    release()
    expect(existsSync(join(data, 'agentos.pid'))).toBe(false)
  })

  it.each([
    ['of a process that is gone', JSON.stringify({ pid: 2 ** 22 + 1, command: 'node x', address: '' })],
    ['whose number a stranger has now', JSON.stringify({ pid: process.pid, command: 'another program', address: '' })],
    ['that a crash cut short', '{"pid":'],
  ])('takes over a lock %s', (_, text) => {
    const data = folder()
    writeFileSync(join(data, 'agentos.pid'), text)
    takeLock(data, '')()
  })
})

describe('ports', () => {
  it('names the process that holds a port', async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const settings: Settings = {
      httpListed: true,
      http: { host: '127.0.0.1', port },
      manager: { host: '127.0.0.1', port: 0 },
      variables: [],
      instances: new Map(),
    }
    const taken = await refusal(() => assertPortsFree(settings))
    expect(taken.code).toBe('port_taken')
    if (process.platform === 'linux') expect(taken.detail).toContain(`process ${process.pid}`)
    await new Promise((resolve) => server.close(resolve))
    await assertPortsFree(settings)
  })

  it('finds listeners, not connections, in the table of the kernel', () => {
    const row = (port: string, state: string, inode: string) =>
      `   0: 0100007F:${port} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1`
    const table = [
      '  sl  local_address …',
      row('0C27', '0A', '111'),
      row('0C27', '01', '222'),
      row('0C28', '0A', '333'),
    ]
    expect(listeningInodes(table.join('\n'), 0x0c27)).toEqual(['111'])
  })
})

describe('a process', () => {
  const stat = (state: string, threads: number) =>
    `16684 (a) b) ${state} 16681 16681 9804 0 -1 4227084 3028 6545 6 0 2 2 3 1 20 0 ${threads} 0 54516 0 0`

  it('has ended when its last thread has: its ports are its own until then, though its first one is gone', () => {
    expect([saysEnded(stat('S', 11)), saysEnded(stat('Z', 11)), saysEnded(stat('Z', 1))]).toEqual([false, false, true])
  })
})

describe('orphans', () => {
  const children: ChildProcess[] = []
  /** A process of its own group, as the supervisor starts them; ended with its test. */
  function orphan(script: string): ChildProcess & { pid: number } {
    const child = spawn(process.execPath, [script], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
    children.push(child)
    return child as ChildProcess & { pid: number }
  }
  afterEach(() => {
    vi.restoreAllMocks()
    for (const child of children.splice(0)) child.kill('SIGKILL')
  })

  it('are ended, and only where the command line is still ours', async () => {
    const data = folder()
    const script = join(data, 'worker.mjs')
    writeFileSync(script, 'setInterval(() => {}, 1000)')
    const ours = spawn(process.execPath, [script], { detached: true, stdio: 'ignore' })
    const stranger = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
    await Promise.all([ours, stranger].map((child) => new Promise((resolve) => child.once('spawn', resolve))))
    const gone = new Promise((resolve) => ours.once('exit', resolve))
    writePids(data, [
      { name: 'memory', pid: ours.pid as number, script },
      { name: 'realm', pid: stranger.pid as number, script },
    ])
    expect(await sweepOrphans(data)).toEqual(['memory'])
    await gone
    expect(isAlive(stranger.pid as number)).toBe(true)
    stranger.kill('SIGKILL')
    expect(readFileSync(join(data, 'pids.json'), 'utf8')).toBe('[]\n')
  })

  it('are waited for: what is ended has its port until it is gone, however long that takes', async () => {
    const data = folder()
    const script = join(data, 'engine.mjs')
    // With calls in flight it does not end when it is asked to.
    writeFileSync(
      script,
      `import { createServer } from 'node:net'
       process.on('SIGTERM', () => {})
       const server = createServer().listen(0, '127.0.0.1', () => console.log(server.address().port))`,
    )
    const engine = orphan(script)
    const [text] = (await once(engine.stdout!, 'data')) as [Buffer]
    const { pid } = engine
    writePids(data, [{ name: 'engine', pid, script, started: startOf(pid) as string }])
    // The kernel takes its time with a large process; here until the test says so.
    const killed = Promise.withResolvers<void>()
    const kill = process.kill.bind(process)
    vi.spyOn(process, 'kill').mockImplementation((target, name) => {
      if (name === 'SIGKILL' && Math.abs(target) === pid) killed.resolve()
      else kill(target, name)
      return true
    })
    let ended = false
    const swept = sweepOrphans(data, { graceMs: 50 }).then((names) => {
      ended = true
      return names
    })
    await killed.promise
    await new Promise((resolve) => setImmediate(resolve))
    expect(ended).toBe(false)
    vi.restoreAllMocks()
    kill(-pid, 'SIGKILL')
    expect(await swept).toEqual(['engine'])
    const listener = { host: '127.0.0.1', port: Number(text) }
    await assertPortsFree({
      httpListed: true,
      http: listener,
      manager: { host: '127.0.0.1', port: 0 },
      variables: [],
      instances: new Map(),
    })
  })

  // Only a language that reaches the system's calls can end one thread and keep the others.
  it.skipIf(process.platform !== 'linux' || spawnSync('python3', ['-c', '']).status !== 0)(
    'that are just being ended, by whomever, are waited for: what has no command line any more has its ports still',
    async () => {
      const data = folder()
      const script = join(data, 'engine.py')
      writeFileSync(
        script,
        `import ctypes, os, platform, signal, sys, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()
print('here', flush=True)
ctypes.CDLL(None).syscall(93 if platform.machine() == 'aarch64' else 60, 0)`,
      )
      const engine = spawn('python3', [script], { detached: true, stdio: ['pipe', 'pipe', 'inherit'] })
      children.push(engine)
      await once(engine.stdout!, 'data')
      const pid = engine.pid as number
      await vi.waitFor(() => expect(commandOf(pid)).toBeUndefined())
      writePids(data, [{ name: 'engine', pid, script, started: startOf(pid) as string }])
      const killed = Promise.withResolvers<void>()
      const kill = process.kill.bind(process)
      vi.spyOn(process, 'kill').mockImplementation((target, name) => {
        if (name === 'SIGKILL' && Math.abs(target) === pid) killed.resolve()
        else kill(target, name)
        return true
      })
      let ended = false
      const swept = sweepOrphans(data, { graceMs: 50 }).finally(() => {
        ended = true
      })
      await Promise.race([killed.promise, swept])
      await new Promise((resolve) => setImmediate(resolve))
      expect(ended).toBe(false)
      engine.stdin!.end()
      expect(await swept).toEqual(['engine'])
    },
  )

  it('that do not end at all are named, and looked for again at the next start', async () => {
    const data = folder()
    const script = join(data, 'engine.mjs')
    writeFileSync(script, 'setInterval(() => {}, 1000)')
    const engine = orphan(script)
    await once(engine, 'spawn')
    const { pid } = engine
    writePids(data, [{ name: 'engine', pid, script }])
    const kill = process.kill.bind(process)
    vi.spyOn(process, 'kill').mockImplementation((target, name) => name !== 0 || kill(target, 0))
    const refused = await refusal(() => sweepOrphans(data, { graceMs: 50, goneMs: 50 }))
    vi.restoreAllMocks()
    expect(refused).toMatchObject({ code: 'orphan_left', detail: expect.stringContaining(`engine (process ${pid})`) })
    expect(readFileSync(join(data, 'pids.json'), 'utf8')).toContain(String(pid))
  })
})
