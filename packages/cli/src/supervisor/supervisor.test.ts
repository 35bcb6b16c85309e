import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { KnownSecrets, type WorkerDescriptor } from '@agentos/protocol'
import { pino } from 'pino'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Api } from '../api.ts'
import { loadSettings } from '../config.ts'
import { Supervisor } from './supervisor.ts'
import { View } from './view.ts'

const NOTHING = 'setInterval(() => {}, 1_000)'
/** Answers heartbeats and says that it is up. */
const ANSWERING = `
  process.on('message', ({ type }) => type === 'ping' && process.send({ type: 'pong' }))
  process.send({ type: 'up', workerPort: 1, settings: {} })
`
/** Says of each process of `w` that it has connected, and then that it is gone. */
const LOSING = `${ANSWERING}
  import { readFileSync } from 'node:fs'
  const lost = new Set()
  setInterval(() => {
    for (const { name, pid } of JSON.parse(readFileSync('data/pids.json', 'utf8'))) {
      if (name !== 'w' || lost.has(pid)) continue
      lost.add(pid)
      process.send({ type: 'connected', pid })
      process.send({ type: 'gone', pid })
    }
  }, 20)
`
const WORKER: WorkerDescriptor = {
  name: 'w',
  version: '1.0.0',
  description: '',
  start: 'always',
  instances: 1,
  memoryMb: 128,
  env: {},
  secrets: [],
  owns: { scopes: [], streams: [], topics: [] },
  systemScopes: [],
  entersRealms: false,
  dependencies: [],
  triggers: [],
  functions: [],
}
const WAIT = { timeout: 30_000, interval: 20 }

interface Given {
  /** What its engine does. @default nothing */
  engine?: string
  /** What its worker `w` does, which there is then. */
  worker?: string
  silentMs?: number
}

/** A supervisor whose engine is a process that listens to nobody, and whose probes are answered by `probe`. */
function supervised(probe: (path: string) => number, given: Given = {}): Supervisor {
  const root = mkdtempSync(join(tmpdir(), 'agentos-supervisor-'))
  const paths = {
    home: root,
    root,
    config: join(root, 'config.yaml'),
    data: join(root, 'data'),
    dist: join(root, 'dist'),
    workers: join(root, 'workers'),
  }
  for (const folder of [paths.dist, join(paths.data, 'logs')]) mkdirSync(folder, { recursive: true })
  const silence = given.silentMs === undefined ? '' : `agentos:\n  workers:\n    silent_ms: ${given.silentMs}\n`
  writeFileSync(paths.config, `workers:\n  - name: iii-http\n${silence}`)
  writeFileSync(join(paths.dist, 'engine.mjs'), given.engine ?? NOTHING)
  mkdirSync(join(paths.dist, 'workers'))
  writeFileSync(join(paths.dist, 'workers/w.mjs'), given.worker ?? NOTHING)
  const api = new Api('http://127.0.0.1:1', 'token')
  api.probe = async (path) => ({ status: probe(path), body: undefined })
  const context = {
    paths,
    settings: loadSettings(paths.config, {}),
    host: {},
    dev: false,
    secrets: new KnownSecrets(),
  }
  return new Supervisor({
    context,
    reload: () => context,
    api,
    log: pino({ level: 'silent' }),
    view: new View(new Writable({ write: (_chunk, _encoding, done) => done() }) as NodeJS.WriteStream),
  })
}

/** Does this timer keep a process alive? */
const isActive = (timer: NodeJS.Timeout): boolean =>
  timer.hasRef() && !(timer as unknown as { _destroyed: boolean })._destroyed

afterEach(() => vi.restoreAllMocks())

describe('a supervisor', () => {
  it('that is told to stop just before it is ready leaves nothing that keeps its process', async () => {
    const begun = vi.spyOn(globalThis, 'setInterval')
    let stopped: Promise<void> | undefined
    const supervisor = supervised((path) => {
      if (path === '/health') return 200
      stopped ??= supervisor.stop()
      return 503
    })
    await supervisor.start([])
    await stopped
    expect(supervisor.statuses()).toMatchObject([{ name: 'engine', state: 'stopped' }])
    expect(begun.mock.results.filter(({ value }) => isActive(value))).toEqual([])
  })

  it('ends an engine that answers no heartbeat, starts it again and says why', async () => {
    const supervisor = supervised(() => 200, { silentMs: 600 })
    await supervisor.start([])
    const engine = () => supervisor.statuses()[0]!
    await vi.waitFor(() => expect(engine().restarts).toBeGreaterThan(0), WAIT)
    expect(engine().reason).toMatch(/answers no heartbeat|^answered no heartbeat for 0.6 s/)
    await supervisor.stop()
  })

  it.each([
    ['never connects', ANSWERING],
    ['lost its connection and does not come back', LOSING],
  ])('ends a worker that %s, and says why', async (_what, engine) => {
    const supervisor = supervised(() => 200, { silentMs: 3_000, engine })
    const started = supervisor.start([WORKER])
    const worker = () => supervisor.statuses().find(({ name }) => name === 'w')
    await vi.waitFor(() => expect(worker()?.restarts).toBeGreaterThan(0), WAIT)
    expect(worker()!.reason).toMatch(/^did not connect to the engine for 3 s/)
    await supervisor.stop()
    await started
  })
})
