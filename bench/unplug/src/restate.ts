import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '@agentos/testing'
import { RestateServer } from '../../src/restate-server.ts'
import { rivalProgram } from '../../src/rivals.ts'
import type { Contestant, Ending } from './contestant.ts'

/** Restate: its server and a service process, either of which is killed, or both. */
export class Restate implements Contestant {
  readonly name: string
  private readonly folder: string
  private readonly world: string
  private server: RestateServer | undefined
  private port = 0
  private service: ChildProcess | undefined

  constructor(name: string, folder: string, world: string) {
    this.name = name
    this.folder = folder
    this.world = world
  }

  async start(): Promise<void> {
    const isNew = this.server === undefined
    this.server ??= await RestateServer.create(this.folder)
    if (isNew) this.port = await freePort()
    await Promise.all([this.server.running ? undefined : this.server.start(), this.startService()])
    if (isNew) await this.server.register(this.port)
  }

  /** As any client: with an idempotency key, and again when the connection is lost. */
  async run(task: string): Promise<Ending> {
    for (;;) {
      try {
        const response = await fetch(`${this.server!.ingress}/agent/run`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': task },
          body: JSON.stringify(task),
        })
        const text = await response.text()
        if (response.ok) return { how: 'finished', answer: JSON.parse(text) as string }
        return { how: 'failed', error: `${response.status} ${text}` }
      } catch {
        await delay(100)
      }
    }
  }

  async kill(share: number): Promise<string> {
    const [server, service] = [share < 2 / 3, share >= 1 / 3]
    await Promise.all([server && this.server?.kill(), service && end(this.service)])
    return [server && 'server', service && 'service'].filter(Boolean).join(' and ')
  }

  async stop(): Promise<void> {
    await Promise.all([end(this.service), this.server?.kill()])
  }

  private async startService(): Promise<void> {
    if (isRunning(this.service)) return
    const child = fork(rivalProgram('restate-agent'), [String(this.port), this.world], {
      env: { ...process.env, NODE_ENV: 'production' },
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    this.service = child
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('the service ended before it was ready')))
    await Promise.race([once(child, 'message'), ended])
    ended.catch(() => {})
  }
}

function isRunning(child: ChildProcess | undefined): child is ChildProcess {
  return child !== undefined && child.exitCode === null && child.signalCode === null
}

async function end(child: ChildProcess | undefined): Promise<void> {
  if (!isRunning(child)) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}
