import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

/** A process of the benchmark, asked over its channel. It ends with us, however we end: the channel closes. */
export class Peer {
  private readonly child: ChildProcess

  /** Starts a file of this folder; resolves with what it says first. */
  static async start<T = unknown>(
    file: string,
    args: string[] = [],
    env: Record<string, string> = {},
  ): Promise<{ peer: Peer; said: T }> {
    const child = fork(join(import.meta.dirname, file), args, {
      serialization: 'advanced',
      env: { ...process.env, ...env },
    })
    const peer = new Peer(child)
    return { peer, said: await peer.answer<T>() }
  }

  private constructor(child: ChildProcess) {
    this.child = child
  }

  /** One question at a time. */
  async ask<T>(question: object): Promise<T> {
    this.child.send(question)
    return this.answer<T>()
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    const gone = once(this.child, 'exit')
    this.child.kill('SIGKILL')
    await gone
  }

  private answer<T>(): Promise<T> {
    const { child } = this
    return new Promise((resolve, reject) => {
      const settle = () => {
        child.off('message', onMessage)
        child.off('exit', onExit)
      }
      const onMessage = (message: unknown) => {
        settle()
        const { value, error } = message as { value: T; error?: string }
        if (error === undefined) resolve(value)
        else reject(new Error(error))
      }
      const onExit = () => {
        settle()
        reject(new Error(`A process of the benchmark ended: ${child.spawnargs.slice(1).join(' ')}`))
      }
      child.on('message', onMessage)
      child.on('exit', onExit)
    })
  }
}

/** The other side: says that it is there, then answers questions until its parent is gone. */
export function serveParent(
  said: unknown,
  handle: (question: never) => Promise<unknown> = async () => undefined,
): void {
  const reply = (message: object) => process.send?.(message)
  process.on('disconnect', () => process.exit(0))
  process.on('message', (question) => {
    handle(question as never).then(
      (value) => reply({ value }),
      (error: unknown) => reply({ value: undefined, error: String(error) }),
    )
  })
  reply({ value: said })
}
