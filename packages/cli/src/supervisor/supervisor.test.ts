import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { KnownSecrets } from '@agentos/protocol'
import { pino } from 'pino'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Api } from '../api.ts'
import { loadSettings } from '../config.ts'
import { Supervisor } from './supervisor.ts'
import { View } from './view.ts'

/** A supervisor whose engine is a process that does nothing, and whose probes are answered by `probe`. */
function supervised(probe: (path: string) => number): Supervisor {
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
  writeFileSync(paths.config, 'workers:\n  - name: iii-http\n')
  writeFileSync(join(paths.dist, 'engine.mjs'), 'setInterval(() => {}, 1_000)')
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
})
