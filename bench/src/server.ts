import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort, reap } from '@agentos/testing'

const START_LIMIT_MS = 15_000
/** Where distributions put servers, which need not be on a user's path. */
const FOLDERS = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin', '/usr/local/bin']

/** A server that is installed on this machine, started for the measurement on a free port with a folder of its own. */
export class Server implements AsyncDisposable {
  readonly port: number
  private readonly child: ChildProcess
  private readonly folder: string

  /** `undefined` where the program is not installed; `args` are made from its port and folder. */
  static async start(program: string, args: (port: number, folder: string) => string[]): Promise<Server | undefined> {
    const path = FOLDERS.map((folder) => join(folder, program)).find(isProgram)
    if (path === undefined) return undefined
    const port = await freePort()
    const folder = mkdtempSync(join(tmpdir(), `agentos-bench-${program}-`))
    const child = spawn(path, args(port, folder), { cwd: folder, stdio: 'ignore' })
    reap(child)
    const server = new Server(child, port, folder)
    try {
      await server.untilListening(program)
      return server
    } catch (error) {
      await server[Symbol.asyncDispose]()
      throw error
    }
  }

  private constructor(child: ChildProcess, port: number, folder: string) {
    this.child = child
    this.port = port
    this.folder = folder
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = once(this.child, 'exit')
      this.child.kill('SIGKILL')
      await gone
    }
    rmSync(this.folder, { recursive: true, force: true })
  }

  private async untilListening(program: string): Promise<void> {
    const end = performance.now() + START_LIMIT_MS
    while (!(await listens(this.port))) {
      if (this.child.exitCode !== null) throw new Error(`${program} ended with code ${this.child.exitCode}`)
      if (performance.now() > end) throw new Error(`${program} did not listen after ${START_LIMIT_MS} ms`)
      await delay(20)
    }
  }
}

/** NATS in its default configuration. */
export function startNats(): Promise<Server | undefined> {
  return Server.start('nats-server', (port) => ['-a', '127.0.0.1', '-p', String(port)])
}

/** Redis that syncs its log before it answers, and writes nothing else. */
export function startRedis(): Promise<Server | undefined> {
  return Server.start('redis-server', (port, folder) => [
    ...['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--save', ''],
    ...['--appendonly', 'yes', '--appendfsync', 'always'],
  ])
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
