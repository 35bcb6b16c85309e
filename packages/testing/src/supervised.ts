import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { WorkerDescriptor } from '@agentos/protocol'
import { type IIIClient, registerWorker } from '@agentos/sdk'
import { freePort } from './free-port.ts'
import { type ApiOptions, type ApiReply, callApi } from './http-api.ts'
import { install } from './installation.ts'
import { reap } from './reaper.ts'
import { type ConfigEntry, untilOk } from './system.ts'

export interface SupervisedOptions {
  /** Names of the workers that are installed; the others are not there at all. */
  workers: string[]
  /** What their manifests say otherwise here. */
  manifests?: Record<string, Partial<Pick<WorkerDescriptor, 'start' | 'instances' | 'memoryMb' | 'triggers'>>>
  /** Further entries of config.yaml: settings of workers. */
  entries?: ConfigEntry[]
  /** The part of config.yaml that is ours. */
  agentos?: Record<string, unknown>
  env?: Record<string, string>
  /** Where the built system is. @default `dist` of this checkout */
  dist?: string
}

/** A process, as `<data>/supervisor.json` tells it. */
export interface SupervisedProcess {
  name: string
  state: string
  pid?: number
  restarts: number
  reason?: string
}

const START_LIMIT_MS = 30_000

/** The built system under its own supervisor, as `npm start` runs it, in a folder of its own. */
export class Supervised {
  readonly httpUrl: string
  readonly wsUrl: string
  readonly root: string
  private readonly env: Record<string, string>
  private child: ReturnType<typeof spawn> | undefined
  private text = ''
  private readonly clients: IIIClient[] = []

  static async start(options: SupervisedOptions): Promise<Supervised> {
    const source = await install(options.dist ?? join(import.meta.dirname, '../../../dist'), options.workers)
    const root = await mkdtemp(join(tmpdir(), 'agentos-supervised-'))
    await cp(source, join(root, 'dist'), { recursive: true })
    for (const [name, change] of Object.entries(options.manifests ?? {})) {
      const file = join(root, 'dist/workers', `${name}.json`)
      await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), ...change }))
    }
    const [http, manager] = [await freePort(), await freePort()]
    const listeners = [
      { name: 'iii-worker-manager', config: { port: manager } },
      { name: 'iii-http', config: { port: http } },
    ]
    const modules = ['iii-state', 'iii-pubsub', 'iii-cron', 'iii-queue'].map((name) => ({ name }))
    const config = { workers: [...listeners, ...modules, ...(options.entries ?? [])], agentos: options.agentos ?? {} }
    await writeFile(join(root, 'config.yaml'), JSON.stringify(config))
    const system = new Supervised(root, { http, manager }, options.env ?? {})
    try {
      await system.up()
      await untilOk(`${system.httpUrl}/ready`, AbortSignal.timeout(START_LIMIT_MS))
      return system
    } catch (error) {
      await system.stop()
      throw error
    }
  }

  private constructor(root: string, ports: { http: number; manager: number }, env: Record<string, string>) {
    this.root = root
    this.httpUrl = `http://127.0.0.1:${ports.http}`
    this.wsUrl = `ws://127.0.0.1:${ports.manager}`
    this.env = { PATH: process.env.PATH ?? '', HOME: root, NO_COLOR: '1', AGENTOS_LOCAL_MODELS: 'off', ...env }
  }

  /** Starts the supervisor; resolves when it says how to stop it. */
  async up(): Promise<void> {
    const child = spawn(process.execPath, [join(this.root, 'dist/agentos.mjs'), 'up'], {
      cwd: this.root,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child = child
    this.text = ''
    reap(child)
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`Not started in time:\n${this.text}`)), START_LIMIT_MS)
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (part: string) => {
          this.text += part
          if (!/^ +Stop /m.test(this.text)) return
          clearTimeout(limit)
          resolve()
        })
      }
      // Not `exit`: what it said last may be read after that.
      child.once('close', (code) => {
        clearTimeout(limit)
        reject(new Error(`agentos up ended with ${code}:\n${this.text}`))
      })
    })
  }

  /** What it wrote since the last `up`. */
  output(): string {
    return this.text
  }

  get pid(): number {
    if (this.child?.pid === undefined) throw new Error('The supervisor does not run')
    return this.child.pid
  }

  /** What the supervisor knows: its engine, and each process of each worker. */
  async processes(): Promise<SupervisedProcess[]> {
    const text = await readFile(join(this.root, 'data/supervisor.json'), 'utf8')
    return (JSON.parse(text) as { processes: SupervisedProcess[] }).processes
  }

  async process(name: string): Promise<SupervisedProcess | undefined> {
    return (await this.processes()).find((process) => process.name === name)
  }

  /** As its owner. */
  async api<T = unknown>(method: string, path: string, body?: unknown, options?: ApiOptions): Promise<ApiReply<T>> {
    return callApi(this.httpUrl, this.ownerToken, method, path, body, { owner: true, ...options })
  }

  get ownerToken(): string {
    return readFileSync(join(this.root, 'data/owner-token'), 'utf8').trim()
  }

  /** A connection, a guest's unless told otherwise; closed at `stop`. */
  client({ owner = false } = {}): IIIClient {
    const client = registerWorker(this.wsUrl, owner ? { credential: this.ownerToken } : {})
    this.clients.push(client)
    return client
  }

  /** A command of the command line, to its end. */
  async agentos(...args: string[]): Promise<{ code: number; text: string }> {
    const child = spawn(process.execPath, [join(this.root, 'dist/agentos.mjs'), ...args], {
      cwd: this.root,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let text = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => (text += part))
    const [code] = (await once(child, 'close')) as [number]
    return { code, text }
  }

  /** Ends the supervisor alone, as a crash would. */
  async kill(): Promise<void> {
    const { child } = this
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  async stop(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.shutdown()))
    const { child } = this
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
    }
    await this.killLeft()
    await rm(this.root, { recursive: true, force: true, maxRetries: 5 })
  }

  /** After a failed test: what a killed supervisor left. */
  private async killLeft(): Promise<void> {
    const left = await readFile(join(this.root, 'data/pids.json'), 'utf8').catch(() => '[]')
    for (const { pid } of JSON.parse(left) as { pid: number }[]) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Gone, as it should be.
      }
    }
  }
}
