import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** A program of `programs/`, and the lines that it writes. */
export class Program {
  readonly process: ChildProcess
  readonly lines: string[] = []
  private readonly watchers = new Set<() => void>()

  constructor(name: string, env: Record<string, string>) {
    this.process = spawn(process.execPath, [join(import.meta.dirname, '../programs', `${name}.ts`)], {
      env: { PATH: process.env.PATH ?? '', ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.lines.push(line)
      for (const wake of this.watchers) wake()
    })
    this.process.once('exit', () => {
      for (const wake of this.watchers) wake()
    })
  }

  get running(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null
  }

  /** Resolves once it has written this line; rejects where it ends before. */
  async wrote(line: string): Promise<void> {
    while (!this.lines.includes(line)) {
      if (!this.running) throw new Error(`The program ended before it wrote ${line}`)
      await new Promise<void>((resolve) => this.watchers.add(resolve))
      this.watchers.clear()
    }
  }

  /** Sends SIGKILL and resolves when it is gone. */
  async kill(): Promise<void> {
    if (!this.running) return
    const gone = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await gone
  }
}
