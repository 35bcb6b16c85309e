import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Contestant, Ending } from './contestant.ts'

/** A framework that is a library: one process, which runs tasks and takes up what it finds unfinished. */
export class Library implements Contestant {
  readonly name: string
  private readonly program: string
  private readonly args: string[]
  private child: ChildProcess | undefined
  private said = ''

  /** `program` is a file that calls `serveTasks`; it is given a folder for its data and the address of the world. */
  constructor(name: string, program: string, args: string[]) {
    this.name = name
    this.program = program
    this.args = args
  }

  async start(): Promise<void> {
    const child = fork(this.program, this.args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] })
    this.child = child
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on('data', (part: Buffer) => (this.said = (this.said + part.toString()).slice(-20_000)))
    }
    const ready = once(child, 'message')
    const ended = once(child, 'exit').then(() => Promise.reject(this.problem('ended before it was ready')))
    await Promise.race([ready, ended])
    ended.catch(() => {})
  }

  run(task: string): Promise<Ending> {
    const child = this.child!
    return new Promise((resolve, reject) => {
      const onMessage = (message: { task: string; ending: Ending }) => {
        if (message.task !== task) return
        settle()
        resolve(message.ending)
      }
      const onExit = () => {
        settle()
        reject(this.problem('ended'))
      }
      const settle = () => {
        child.off('message', onMessage)
        child.off('exit', onExit)
      }
      child.on('message', onMessage)
      child.on('exit', onExit)
      child.send({ task })
    })
  }

  async kill(): Promise<string> {
    await this.end()
    return 'the process'
  }

  stop(): Promise<void> {
    return this.end()
  }

  private async end(): Promise<void> {
    const child = this.child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  private problem(text: string): Error {
    return new Error(`${this.name} ${text}:\n${this.said}`)
  }
}
