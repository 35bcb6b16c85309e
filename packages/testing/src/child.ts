import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { reap } from './reaper.ts'

export interface ChildSpec {
  name: string
  script: string
  env: Record<string, string>
  cwd: string
  /** Resolves when the process does its work; called once a start, and told to give up by the signal. */
  ready: (child: Child, signal: AbortSignal) => Promise<void>
}

/** How long a process may take to start. */
const START_LIMIT_MS = 30_000
/** How long it may take to end after SIGTERM; it drains for up to 10 s. */
const STOP_LIMIT_MS = 15_000
const KEPT_OUTPUT = 1_000_000

/** A process of the system under test, which can be killed and started again as itself. */
export class Child {
  readonly name: string
  private readonly spec: ChildSpec
  private process: ChildProcess | undefined
  /** It has ended, and everything that it wrote was read: that may be later. */
  private closed = true
  private text = ''
  /** Where the output of the present process begins. */
  private lifeStart = 0
  private readonly watchers = new Set<() => void>()

  constructor(spec: ChildSpec) {
    this.name = spec.name
    this.spec = spec
  }

  /** Of the present process; of the last one where none runs. */
  get pid(): number {
    if (this.process?.pid === undefined) throw new Error(`${this.name} was not started`)
    return this.process.pid
  }

  get running(): boolean {
    return this.process !== undefined && this.process.exitCode === null && this.process.signalCode === null
  }

  /** How the last process ended; `undefined` while it runs. */
  get exit(): { code: number | null; signal: NodeJS.Signals | null } | undefined {
    return this.process && !this.running ? { code: this.process.exitCode, signal: this.process.signalCode } : undefined
  }

  /** Everything that it wrote on stdout and stderr, over all its lives; the last megabyte. */
  output(): string {
    return this.text
  }

  /** Resolves when something that it writes from now on, or wrote in this life, matches. */
  async wrote(pattern: RegExp, signal?: AbortSignal): Promise<void> {
    const wake = () => this.wakeWatchers()
    signal?.addEventListener('abort', wake, { once: true })
    try {
      while (!pattern.test(this.text.slice(this.lifeStart))) {
        signal?.throwIfAborted()
        if (this.closed) throw new Error(`${this.name} ended before it wrote ${pattern}`)
        await new Promise<void>((resolve) => this.watchers.add(resolve))
      }
    } finally {
      signal?.removeEventListener('abort', wake)
    }
  }

  async start(): Promise<void> {
    if (this.running) throw new Error(`${this.name} is running already`)
    const { script, env, cwd, ready } = this.spec
    const child = spawn(process.execPath, [script], { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    this.process = child
    this.closed = false
    reap(child)
    this.lifeStart = this.text.length
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => this.take(part))
    const controller = new AbortController()
    const timer = setTimeout(() => controller.abort(new Error(`not ready after ${START_LIMIT_MS} ms`)), START_LIMIT_MS)
    const ended = () => {
      controller.abort(new Error(`it ended with ${child.signalCode ?? `code ${child.exitCode}`}`))
    }
    child.once('close', () => {
      this.closed = true
      this.wakeWatchers()
    })
    child.once('close', ended)
    try {
      await ready(this, controller.signal)
    } catch (error) {
      child.kill('SIGKILL')
      const reason = controller.signal.aborted ? controller.signal.reason : error
      throw new Error(
        `${this.name} did not start: ${String(reason)}\n${this.text.slice(this.lifeStart).slice(-4_000)}`,
        {
          cause: error,
        },
      )
    } finally {
      clearTimeout(timer)
      child.off('close', ended)
    }
  }

  /** Kills it and resolves when it is gone and its last words were read. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.running) return
    const gone = once(this.process!, 'close')
    this.process!.kill(signal)
    await gone
  }

  /** Ends it as a supervisor does: SIGTERM, and SIGKILL where that was not heard. */
  async stop(): Promise<void> {
    if (!this.running) return
    const timer = setTimeout(() => this.process?.kill('SIGKILL'), STOP_LIMIT_MS)
    await this.kill('SIGTERM')
    clearTimeout(timer)
  }

  /** Starts it anew with the same settings, killing it first where it runs. */
  async restart(): Promise<void> {
    await this.kill()
    await this.start()
  }

  private take(part: string): void {
    this.text += part
    if (this.text.length > 2 * KEPT_OUTPUT) {
      const cut = this.text.length - KEPT_OUTPUT
      this.text = this.text.slice(cut)
      this.lifeStart = Math.max(0, this.lifeStart - cut)
    }
    this.wakeWatchers()
  }

  private wakeWatchers(): void {
    for (const wake of this.watchers) wake()
    this.watchers.clear()
  }
}
