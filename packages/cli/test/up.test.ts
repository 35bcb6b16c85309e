import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { KnownSecrets, type SecretFingerprint } from '@agentos/protocol'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { commandOf, isAlive } from '../src/supervisor/process-table.ts'
import { FakeInstallation } from './fake-installation.ts'

const WAIT = { timeout: 40_000, interval: 25 }
let installation: FakeInstallation

async function started(workers: Record<string, string | undefined>, engine?: string) {
  installation = await FakeInstallation.create(workers, engine)
  const run = installation.up()
  await vi.waitFor(() => expect(installation.output).toContain('Stop'), WAIT)
  return run
}

/** Says hello as a worker does, and stays. */
const SERVES = `await fetch(process.env.III_URL.replace('ws', 'http') + '/worker/' + process.pid)
setInterval(() => {}, 1000)`

const processOf = (name: string) => installation.status().processes.find((process) => process.name === name)

/** A command of the command line, for this installation. */
function agentos(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const main = join(import.meta.dirname, '../src/main.ts')
  const address = `http://127.0.0.1:${installation.httpPort}`
  const env = { ...process.env, AGENTOS_DATA: installation.data, AGENTOS_API_URL: address, NO_COLOR: '1' }
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [main, ...args], { env }, (_error, out, err) => {
      resolve({ code: child.exitCode ?? -1, out, err })
    })
  })
}

afterEach(() => installation.destroy())

describe('agentos up', { timeout: 90_000 }, () => {
  it('starts everything, says where the page is, and leaves no process when it is stopped', async () => {
    const { child, exit } = await started({ memory: undefined, realm: undefined, security: undefined })
    expect(installation.output).toContain(`http://127.0.0.1:${installation.httpPort}/#code=c0de`)
    expect(installation.output).toContain('3 workers, 2 functions')
    expect(installation.output).toContain(`curl http://127.0.0.1:${installation.httpPort}/v1/chat`)
    expect(installation.output).toContain(installation.data)
    const pids = installation.status().processes.map((process) => process.pid as number)
    expect(pids.every(isAlive)).toBe(true)
    child.kill('SIGINT')
    expect(await exit).toBe(0)
    expect(pids.some(isAlive)).toBe(false)
    // The engine is told first and has ended before the workers are told.
    const order = installation.read('order').trim().split('\n')
    expect(order.slice(0, 2)).toEqual(['engine told', 'engine gone'])
    expect(order.slice(2).sort()).toEqual(['memory told', 'realm told', 'security told'])
    expect(installation.read('agentos.pid')).toBe('')
  })

  it('prints what the engine has to tell its owner, and status shows it as long as that engine runs', async () => {
    installation = await FakeInstallation.create({ memory: undefined })
    const config = readFileSync(join(installation.home, 'config.yaml'), 'utf8')
    installation.write('config.yaml', `${config}# notice Guests live apart now\n`)
    const { child, exit } = installation.up()
    await vi.waitFor(() => expect(installation.output).toContain('Stop'), WAIT)
    expect(installation.output).toContain('! Guests live apart now')
    expect((await installation.agentos('status')).text).toContain('! Guests live apart now')
    installation.write('config.yaml', config)
    const pid = processOf('engine')?.pid
    await installation.order('restart', 'engine')
    await vi.waitFor(() => {
      expect(processOf('engine')).toMatchObject({ state: 'up' })
      expect(processOf('engine')?.pid).not.toBe(pid)
    }, WAIT)
    expect((await installation.agentos('status')).text).not.toContain('Guests live apart now')
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('starts a killed worker again, and says so', async () => {
    const { child, exit } = await started({ memory: undefined })
    const before = processOf('memory')?.pid as number
    process.kill(before, 'SIGKILL')
    await vi.waitFor(() => expect(installation.output).toContain('memory is up'), WAIT)
    expect(installation.output).toMatch(
      /\d{4}-\d\d-\d\d \d\d:\d\d:\d\d {2}memory ended \(ended by SIGKILL\); starting it again in 0\.2 s/,
    )
    await vi.waitFor(
      () => expect(processOf('memory')).toMatchObject({ state: 'up', restarts: 1, reason: 'ended by SIGKILL' }),
      WAIT,
    )
    expect(processOf('memory')?.pid).not.toBe(before)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('starts a killed engine again', async () => {
    const { child, exit } = await started({ memory: undefined })
    process.kill(processOf('engine')?.pid as number, 'SIGKILL')
    await vi.waitFor(() => expect(installation.output).toContain('engine is up'), WAIT)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('holds an engine that ends five times within a minute, says so everywhere, and tries it again', async () => {
    const { child, exit } = await started({ memory: undefined })
    const { pid: memory } = processOf('memory')!
    const engine = readFileSync(join(installation.home, 'dist/engine.mjs'), 'utf8')
    installation.write('dist/engine.mjs', 'throw new Error("no such column")')
    process.kill(processOf('engine')?.pid as number, 'SIGKILL')
    const held = 'engine is held after 6 ends within a minute (exit code 1: Error: no such column)'
    await vi.waitFor(() => expect(installation.output).toContain(`${held}; it is tried again in 1 s`), WAIT)
    // Held, and not in the moment of an attempt.
    await vi.waitFor(async () => {
      const status = await agentos('status')
      expect(status).toMatchObject({ code: 1, out: expect.stringMatching(/! engine is held/) })
      expect(status.out).toMatch(/engine +held .*no such column.*tried again in 1 s/)
      expect(status.out).toMatch(/memory +up/)
    }, WAIT)
    expect(JSON.parse((await agentos('--json', 'status')).out)).toMatchObject({ ready: false, functions: null })
    expect(installation.read('logs/supervisor.jsonl')).toContain('engine held')
    // Nobody else was ended.
    expect(processOf('memory')).toMatchObject({ pid: memory, restarts: 0 })
    installation.output = ''
    installation.write('dist/engine.mjs', engine)
    await vi.waitFor(() => expect(installation.output).toContain('engine is up'), WAIT)
    await vi.waitFor(() => expect(processOf('engine')).toMatchObject({ state: 'up' }), WAIT)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('holds a worker that cannot start, names its reason in the box, and runs the rest', async () => {
    const { child, exit } = await started({ memory: undefined, broken: 'throw new Error("no such table")' })
    expect(installation.output).toContain('1 of 2 workers')
    expect(installation.output).toContain('broken is held: exit code 1: Error: no such table')
    expect(processOf('broken')).toMatchObject({ state: 'held' })
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('releases a held worker when its owner says so', async () => {
    const { child, exit } = await started({ broken: 'throw new Error("no such table")' })
    expect(installation.output).toContain('To start it again: npm run agentos -- restart broken')
    await vi.waitFor(() => expect(JSON.parse(installation.read('states'))).toEqual({ broken: 'held' }), WAIT)
    installation.write('dist/workers/broken.mjs', SERVES)
    await installation.order('restart', 'broken')
    await vi.waitFor(() => expect(processOf('broken')).toMatchObject({ state: 'up' }), WAIT)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('reads .env again for a worker that is restarted, and the whole of it for the engine', async () => {
    const says = (what: string) => `console.log(JSON.stringify({ msg: 'env', ${what} }))`
    const worker = `${SERVES}\n${says('token: process.env.TOKEN, tone: process.env.TONE')}`
    installation = await FakeInstallation.create({ memory: worker }, undefined, {
      env: { TONE: 'plain' },
      secrets: ['TOKEN'],
    })
    installation.write('.env', 'TOKEN=first\n')
    const { child, exit } = installation.up()
    await vi.waitFor(() => expect(installation.output).toContain('Stop'), WAIT)
    const log = () => installation.read('logs/memory.jsonl')
    await vi.waitFor(() => expect(log()).toContain('"token":"first","tone":"plain"'), WAIT)
    installation.write('.env', 'TOKEN=second\nTONE=loud\n')
    const { code, text } = await installation.agentos('restart', 'memory')
    expect([code, text]).toEqual([0, expect.stringContaining('memory is started anew')])
    expect(text).not.toContain('restart engine')
    await vi.waitFor(() => expect(log()).toContain('"token":"second","tone":"loud"'), WAIT)

    // What config.yaml says is the engine's to read.
    const config = readFileSync(join(installation.home, 'config.yaml'), 'utf8')
    installation.write('config.yaml', `${config}# \${GREETING:none}\n`)
    expect((await installation.agentos('restart', 'memory')).text).toContain('npm run agentos -- restart engine')
    installation.write('.env', 'GREETING=hello\n')
    const before = processOf('engine')?.pid
    expect((await installation.agentos('restart', 'engine')).code).toBe(0)
    await vi.waitFor(() => expect(installation.read('greeting')).toBe('hello'), WAIT)
    expect(processOf('engine')?.pid).not.toBe(before)

    installation.write('config.yaml', config.replace(/port: \d+/, 'port: 1'))
    const moved = await installation.agentos('restart', 'memory')
    expect(moved.code).toBe(1)
    expect(moved.text).toContain('npm run agentos -- stop')
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('starts those anew with the engine whose settings in config.yaml changed, and nobody else', async () => {
    installation = await FakeInstallation.create({ memory: undefined, realm: undefined, security: undefined })
    const config = readFileSync(join(installation.home, 'config.yaml'), 'utf8')
    const write = (settings: object) =>
      installation.write('config.yaml', `${config}# settings ${JSON.stringify(settings)}\n`)
    write({ memory: 'a', realm: 'a' })
    const { child, exit } = installation.up()
    await vi.waitFor(() => expect(installation.output).toContain('Stop'), WAIT)
    const pids = () => ['memory', 'realm', 'security'].map((name) => processOf(name)?.pid)
    const before = pids()
    write({ realm: 'b' })
    expect((await installation.agentos('restart', 'engine')).text).toContain('workers whose settings changed')
    await vi.waitFor(() => {
      expect(installation.output).toContain('memory is up')
      expect(installation.output).toContain('realm is up')
    }, WAIT)
    await vi.waitFor(() => expect(processOf('realm')).toMatchObject({ state: 'up', restarts: 1 }), WAIT)
    const after = pids()
    expect(after.map((pid, index) => pid === before[index])).toEqual([false, false, true])
    // Also where the engine ended by itself; and with the same settings nobody.
    process.kill(processOf('engine')?.pid as number, 'SIGKILL')
    await vi.waitFor(() => expect(processOf('engine')).toMatchObject({ state: 'up', restarts: 2 }), WAIT)
    expect(pids()).toEqual(after)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('ends nothing for a config.yaml that the engine would refuse, and says what is wrong with it', async () => {
    const { child, exit } = await started({ memory: undefined })
    const { pid } = processOf('engine')!
    const config = readFileSync(join(installation.home, 'config.yaml'), 'utf8')
    installation.write('config.yaml', `${config}  - { name: iii-pubsubb }\n`)
    const refused = await installation.agentos('restart', 'engine')
    expect([refused.code, refused.text]).toEqual([1, expect.stringContaining('lists iii-pubsubb, which is neither')])
    // Somebody asks on the page.
    await installation.order('restart', 'engine')
    await vi.waitFor(() => expect(installation.output).toContain('engine is not restarted: '), WAIT)
    expect(installation.output).toContain('lists iii-pubsubb')
    expect(processOf('engine')).toMatchObject({ pid, state: 'up', restarts: 0 })
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('starts a held engine at once when its owner says so, and says who else has to wait for it', async () => {
    installation = await FakeInstallation.create({ memory: undefined })
    const { child, exit } = installation.up(600_000)
    await vi.waitFor(() => expect(installation.output).toContain('Stop'), WAIT)
    const engine = readFileSync(join(installation.home, 'dist/engine.mjs'), 'utf8')
    installation.write('dist/engine.mjs', 'throw new Error("no such column")')
    process.kill(processOf('engine')?.pid as number, 'SIGKILL')
    await vi.waitFor(() => expect(processOf('engine')).toMatchObject({ state: 'held' }), WAIT)
    expect(installation.output).toContain('or at once by npm run agentos -- restart engine')
    installation.write('dist/engine.mjs', engine)
    const worker = await installation.agentos('restart', 'memory')
    expect([worker.code, worker.text]).toEqual([1, expect.stringContaining('npm run agentos -- restart engine')])
    const restarted = await installation.agentos('restart', 'engine')
    expect([restarted.code, restarted.text]).toEqual([0, expect.stringContaining('engine is started anew')])
    await vi.waitFor(() => expect(processOf('engine')).toMatchObject({ state: 'up' }), WAIT)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('starts an on-demand worker when it is needed, ends it when it is idle, and starts it again after that', async () => {
    installation = await FakeInstallation.create({ memory: undefined }, undefined, { start: 'on-demand' })
    const { child, exit } = installation.up()
    await vi.waitFor(() => expect(installation.output).toContain('Stop'), WAIT)
    expect(processOf('memory')).toMatchObject({ state: 'asleep' })
    await installation.order('needed', 'memory')
    await vi.waitFor(() => expect(processOf('memory')).toMatchObject({ state: 'up' }), WAIT)
    const { pid } = processOf('memory')!
    // Needed again while it ends.
    await installation.order('idle', 'memory')
    await installation.order('needed', 'memory')
    await vi.waitFor(() => {
      expect(processOf('memory')).toMatchObject({ state: 'up', restarts: 0 })
      expect(processOf('memory')?.pid).not.toBe(pid)
    }, WAIT)
    await installation.order('idle', 'memory')
    await vi.waitFor(() => expect(processOf('memory')).toMatchObject({ state: 'asleep' }), WAIT)
    await vi.waitFor(() => expect(JSON.parse(installation.read('states'))).toEqual({ memory: 'asleep' }), WAIT)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('starts a worker again that uses more memory than its manifest allows, with that reason', async () => {
    // Outside of the heap, where Node's own limit does not see it.
    const { child, exit } = await started({ memory: `${SERVES}\nglobalThis.kept = Buffer.alloc(300e6, 1)` })
    await vi.waitFor(() => expect(processOf('memory')?.reason).toMatch(/^used \d+ MB of 128 MB$/), WAIT)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('starts a worker again whose heap reached the cap, with that reason', async () => {
    const grow = 'const kept = []\nfor (;;) kept.push({ n: [kept.length] })'
    const { child, exit } = await started({ memory: `${SERVES}\nsetTimeout(() => { ${grow} }, 500)` })
    await vi.waitFor(
      () => expect(processOf('memory')?.reason).toMatch(/^out of memory: its heap reached the cap/),
      WAIT,
    )
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('gives a worker only the variables of its manifest', async () => {
    const { child, exit } = await started({
      memory: `${SERVES}\nconsole.log(JSON.stringify({ msg: 'env', names: Object.keys(process.env) }))`,
    })
    await vi.waitFor(() => expect(installation.read('logs/memory.jsonl')).toContain('"names"'), WAIT)
    const log = installation.read('logs/memory.jsonl')
    expect(log).toContain('"AGENTOS_CREDENTIAL"')
    expect(log).not.toContain('HOST_SECRET')
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('blanks what a worker declares as a secret in all that it writes, and gives the engine its fingerprint alone', async () => {
    const source = `${SERVES}\nconsole.error('raw: ' + process.env.HOST_SECRET, Buffer.from(process.env.HOST_SECRET).toString('hex'))`
    installation = await FakeInstallation.create({ memory: source }, undefined, { secrets: ['HOST_SECRET'] })
    installation.write('data/secrets.json', '{"SOME_KEY":"pasted-on-the-page"}')
    const { child, exit } = installation.up()
    await vi.waitFor(() => expect(installation.output).toContain('Stop'), WAIT)
    await vi.waitFor(() => expect(installation.read('logs/memory.jsonl')).toContain('raw: [redacted] [redacted]'), WAIT)
    await vi.waitFor(() => expect(installation.read('fingerprints')).toContain('"env"'), WAIT)
    const told = JSON.parse(installation.read('fingerprints')) as { fingerprints: SecretFingerprint[]; env: object }
    expect(told.env).not.toHaveProperty('HOST_SECRET')
    const engine = new KnownSecrets()
    engine.add(told.fingerprints)
    const token = installation.read('owner-token').trim()
    expect(engine.text(`of the host, pasted-on-the-page, ${token}.`)).toBe('[redacted], [redacted], [redacted].')
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('ends a worker that hangs while it shuts down, after the time that it has for that', async () => {
    const { child, exit } = await started({ memory: `${SERVES}\nprocess.on('SIGTERM', () => {})` })
    const { pid } = processOf('memory')!
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
    expect(isAlive(pid!)).toBe(false)
  })

  it('refuses a second start with the pid and the page of the first', async () => {
    const { child, exit } = await started({ memory: undefined })
    const second = installation.up()
    expect(await second.exit).toBe(1)
    await vi.waitFor(() => expect(installation.output).toContain(`kill ${child.pid}`), WAIT)
    expect(installation.output).toContain('AgentOS is already running')
    expect(installation.output).toContain(`Process ${child.pid} works on`)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
  })

  it('ends what a killed supervisor left behind', async () => {
    const first = await started({ memory: undefined })
    const orphans = installation.status().processes.map((process) => process.pid as number)
    first.child.kill('SIGKILL')
    await first.exit
    installation.output = ''
    const second = installation.up()
    await vi.waitFor(() => expect(installation.output).toContain('Stop'), WAIT)
    expect(installation.output).toContain('ended what an earlier start left running: engine, memory')
    // By command line: where nobody reaps it, a dead process without parent stays in the table.
    expect(orphans.map(commandOf)).toEqual([undefined, undefined])
    second.child.kill('SIGTERM')
    expect(await second.exit).toBe(0)
  })

  it('is stopped by a command, which waits until no process is left', async () => {
    const { exit } = await started({ memory: undefined })
    const pids = installation.status().processes.map((process) => process.pid as number)
    expect(await installation.agentos('stop')).toEqual({ code: 0, text: 'AgentOS is stopped; no process is left.\n' })
    expect(pids.some(isAlive)).toBe(false)
    expect(await exit).toBe(0)
  })

  it('is stopped by a command that waits for the supervisor itself, not only for its lock', async () => {
    installation = await FakeInstallation.create({})
    const lock = join(installation.data, 'agentos.pid')
    installation.write('data/gate', '')
    const stub = installation.spawnSource(`process.on('SIGTERM', () => {
      require('node:fs').rmSync(${JSON.stringify(lock)})
      setTimeout(() => process.exit(), 1000)
    }); setInterval(() => {}, 1000); require('node:fs').rmSync(${JSON.stringify(join(installation.data, 'gate'))})`)
    await vi.waitFor(() => expect(existsSync(join(installation.data, 'gate'))).toBe(false), WAIT)
    const command = commandOf(stub)
    installation.write('data/agentos.pid', JSON.stringify({ pid: stub, command, address: 'http://127.0.0.1:1/' }))
    expect((await installation.agentos('stop')).code).toBe(0)
    expect(commandOf(stub)).not.toBe(command)
  })

  it('says that nobody restarts when its supervisor was killed, and is stopped by a command all the same', async () => {
    const { child, exit } = await started({ memory: undefined })
    const pids = installation.status().processes.map((process) => process.pid as number)
    expect((await installation.agentos('status')).code).toBe(0)
    child.kill('SIGKILL')
    await exit
    const status = await installation.agentos('status')
    expect(status.code).toBe(1)
    expect(status.text).toContain(`nobody restarts what ends: the supervisor (process ${child.pid}) is gone`)
    expect(status.text).toMatch(/^! unsupervised /)
    expect(JSON.parse((await installation.agentos('--json', 'status')).text)).toMatchObject({ ready: false })
    const { code, text } = await installation.agentos('stop')
    expect([code, text]).toEqual([0, 'Nobody supervised what still ran. It is ended: engine, memory.\n'])
    expect(pids.map(commandOf)).toEqual([undefined, undefined])
  })

  it('leaves alone who got the number of one of its processes, though it runs the same script', async () => {
    const first = await started({ memory: undefined })
    const stranger = installation.spawnScript('dist/workers/memory.mjs')
    first.child.kill('SIGKILL')
    await first.exit
    const left = JSON.parse(installation.read('pids.json')) as { name: string; pid: number }[]
    const reused = left.map((entry) => (entry.name === 'memory' ? { ...entry, pid: stranger } : entry))
    for (const { name, pid } of left) if (name === 'memory') process.kill(pid, 'SIGKILL')
    installation.write('data/pids.json', JSON.stringify(reused))
    installation.output = ''
    const second = installation.up()
    await vi.waitFor(() => expect(installation.output).toContain('Stop'), WAIT)
    expect(installation.output).toContain('ended what an earlier start left running: engine\n')
    expect(isAlive(stranger)).toBe(true)
    second.child.kill('SIGTERM')
    expect(await second.exit).toBe(0)
  })

  it('shows what the engine said when it does not start, to its end', async () => {
    installation = await FakeInstallation.create(
      { memory: undefined },
      'console.error("config.yaml, at agentos: unknown key", "x".repeat(2_000), "there is guests"); process.exit(1)',
    )
    expect(await installation.up().exit).toBe(1)
    await vi.waitFor(() => expect(installation.output).toContain('engine.jsonl'), WAIT)
    expect(installation.output).toContain('The engine does not start')
    expect(installation.output).toContain(`config.yaml, at agentos: unknown key ${'x'.repeat(2_000)} there is guests\n`)
  })

  it('stops at once at the second signal, and leaves no process then either', async () => {
    const { child, exit } = await started({
      stubborn: `await fetch(process.env.III_URL.replace('ws', 'http') + '/stubborn/' + process.pid)
        process.on('SIGTERM', () => {})
        setInterval(() => {}, 1000)`,
    })
    const pids = installation.status().processes.map((process) => process.pid as number)
    child.kill('SIGINT')
    await new Promise((resolve) => setTimeout(resolve, 700))
    child.kill('SIGINT')
    await exit
    expect(pids.some(isAlive)).toBe(false)
  })
})
