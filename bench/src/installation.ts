import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '@agentos/testing'

const START_LIMIT_MS = 30_000

/**
 * The whole system as `npm start` runs it, with a new data folder: the built supervisor, its engine and its workers.
 * Nothing of the host's environment reaches it, so no key is found and the rules demo answers.
 */
export class Installation {
  readonly url: string
  /** Milliseconds from the start of the supervisor until the engine answers, and until all workers serve. */
  readonly started: { engine: number; all: number }
  private readonly folder: string
  private readonly child: ChildProcess

  /** `idleMs`: after this time without work a worker on demand is let go. */
  static async start(root: string, idleMs = 600_000): Promise<Installation> {
    const folder = mkdtempSync(join(tmpdir(), 'agentos-bench-'))
    const config = readFileSync(join(root, 'config.yaml'), 'utf8')
    writeFileSync(join(folder, 'config.yaml'), config.replace(/idle_ms: \d+/, `idle_ms: ${idleMs}`))
    const [http, manager] = [await freePort(), await freePort()]
    const url = `http://127.0.0.1:${http}`
    const begin = performance.now()
    const child = spawn(process.execPath, [join(root, 'dist', 'agentos.mjs'), 'up'], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        AGENTOS_ROOT: folder,
        AGENTOS_LOCAL_MODELS: 'off',
        AGENTOS_HTTP_PORT: String(http),
        AGENTOS_WORKER_PORT: String(manager),
        // It ends with us, also where we are killed: the channel closes.
        AGENTOS_ON_BEHALF: '1',
      },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    try {
      const engine = await untilOk(`${url}/health`, child, begin)
      const all = await untilOk(`${url}/ready`, child, begin)
      return new Installation(folder, child, url, { engine, all })
    } catch (error) {
      await end(child, folder)
      throw error
    }
  }

  private constructor(folder: string, child: ChildProcess, url: string, started: { engine: number; all: number }) {
    this.folder = folder
    this.child = child
    this.url = url
    this.started = started
  }

  /** The engine and each worker, and the supervisor itself. */
  processes(): { name: string; pid: number }[] {
    const { pid, processes } = this.status()
    const running = processes.flatMap((each) => (each.pid === undefined ? [] : [{ name: each.name, pid: each.pid }]))
    return [{ name: 'supervisor', pid }, ...running]
  }

  /** Calls a function as the owner; resolves with the time that took, in milliseconds. */
  async call(functionId: string, payload: unknown): Promise<number> {
    const token = readFileSync(join(this.folder, 'data', 'owner-token'), 'utf8').trim()
    const begin = performance.now()
    const answer = await fetch(`${this.url}/v1/functions/call`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify({ functionId, payload }),
    })
    const text = await answer.text()
    const passed = performance.now() - begin
    if (!answer.ok) throw new Error(`${functionId} answered ${answer.status}: ${text}`)
    return passed
  }

  /** Resolves when this worker has been let go. */
  async asleep(worker: string): Promise<void> {
    while (this.status().processes.find(({ name }) => name === worker)?.state !== 'asleep') await delay(10)
  }

  private status(): { pid: number; processes: { name: string; state: string; pid?: number }[] } {
    return JSON.parse(readFileSync(join(this.folder, 'data', 'supervisor.json'), 'utf8'))
  }

  stop(): Promise<void> {
    return end(this.child, this.folder)
  }
}

async function end(child: ChildProcess, folder: string): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  }
  rmSync(folder, { recursive: true, force: true })
}

/** Polls often enough to tell milliseconds, and seldom enough not to slow the start down. */
async function untilOk(url: string, child: ChildProcess, begin: number): Promise<number> {
  for (;;) {
    const ok = await fetch(url).then(
      (answer) => answer.ok,
      () => false,
    )
    const passed = performance.now() - begin
    if (ok) return passed
    if (child.exitCode !== null) throw new Error(`The system ended with code ${child.exitCode} before it was ready`)
    if (passed > START_LIMIT_MS) throw new Error(`${url} was not there after ${START_LIMIT_MS} ms`)
    await delay(10)
  }
}
