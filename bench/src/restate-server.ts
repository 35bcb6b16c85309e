import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '@agentos/testing'
import { restateServerBinary } from './rivals.ts'

const START_LIMIT_MS = 30_000

/** Restate's server in its default configuration, which syncs each write, on free ports and with a folder of its own. */
export class RestateServer {
  /** Where invocations are sent to; the same after a restart. */
  readonly ingress: string
  private readonly admin: string
  private readonly ports: { ingress: number; admin: number; node: number }
  private readonly folder: string
  private child: ChildProcess | undefined

  static async create(folder: string): Promise<RestateServer> {
    const [ingress, admin, node] = [await freePort(), await freePort(), await freePort()]
    return new RestateServer(folder, { ingress, admin, node })
  }

  private constructor(folder: string, ports: { ingress: number; admin: number; node: number }) {
    this.folder = folder
    this.ports = ports
    this.ingress = `http://127.0.0.1:${ports.ingress}`
    this.admin = `http://127.0.0.1:${ports.admin}`
  }

  get running(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  async start(): Promise<void> {
    const { ingress, admin, node } = this.ports
    const args = ['--base-dir', this.folder, '--node-name', 'bench', '--no-logo', '--listen-mode', 'tcp']
    const child = spawn(restateServerBinary(), [...args, '--bind-ip', '127.0.0.1', '--bind-port', String(node)], {
      cwd: this.folder,
      env: {
        RESTATE_INGRESS__BIND_PORT: String(ingress),
        RESTATE_ADMIN__BIND_PORT: String(admin),
        RESTATE_DISABLE_TELEMETRY: 'true',
        RESTATE_LOG_FILTER: 'error',
        HOME: this.folder,
      },
      stdio: 'ignore',
    })
    this.child = child
    const end = performance.now() + START_LIMIT_MS
    for (const url of [`${this.admin}/health`, `${this.ingress}/restate/health`]) {
      while (!(await isOk(url))) {
        if (child.exitCode !== null) throw new Error(`restate-server ended with code ${child.exitCode}`)
        if (performance.now() > end) throw new Error(`restate-server was not ready after ${START_LIMIT_MS} ms`)
        await delay(25)
      }
    }
  }

  /** Makes the services that listen at this port known. */
  async register(port: number): Promise<void> {
    const response = await fetch(`${this.admin}/deployments`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ uri: `http://127.0.0.1:${port}` }),
    })
    if (!response.ok) throw new Error(`registering answered ${response.status}: ${await response.text()}`)
  }

  async kill(): Promise<void> {
    if (!this.running) return
    const gone = once(this.child!, 'exit')
    this.child!.kill('SIGKILL')
    await gone
  }
}

const isOk = (url: string): Promise<boolean> =>
  fetch(url).then(
    (answer) => answer.ok,
    () => false,
  )
