import { execFile, spawn } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { freePort } from '@agentos/testing'
import { installPackages } from '../../scripts/setup/packages.mjs'

const ROOT = join(import.meta.dirname, '../..')

/** What a command of ours ended with. */
interface Outcome {
  code: number
  out: string
  err: string
}

/**
 * A checkout of its own with the sources of this one and no workers: for tests that add workers, build or change
 * sources. What is installed is linked, so nothing is installed for it.
 */
export class Checkout {
  readonly root: string
  readonly env: NodeJS.ProcessEnv
  readonly httpUrl: string
  private readonly running = new Set<ReturnType<typeof spawn>>()

  private constructor(root: string, ports: { http: number; worker: number }) {
    this.root = root
    this.httpUrl = `http://127.0.0.1:${ports.http}`
    this.env = {
      PATH: process.env.PATH,
      HOME: root,
      NO_COLOR: '1',
      AGENTOS_HTTP_PORT: String(ports.http),
      AGENTOS_WORKER_PORT: String(ports.worker),
    }
  }

  static async create(): Promise<Checkout> {
    const root = mkdtempSync(join(tmpdir(), 'agentos-checkout-'))
    for (const file of ['package.json', 'pnpm-workspace.yaml', 'config.yaml', 'vitest.config.ts'])
      cpSync(join(ROOT, file), join(root, file))
    for (const folder of ['scripts', 'packages']) {
      cpSync(join(ROOT, folder), join(root, folder), {
        recursive: true,
        filter: (source) => !['node_modules', 'console'].includes(basename(source)),
      })
    }
    symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'))
    for (const name of readdirSync(join(root, 'packages'))) linkInstalled(root, name)
    mkdirSync(join(root, 'workers'))
    return new Checkout(root, { http: await freePort(), worker: await freePort() })
  }

  /** Has set-up find everything installed, for tests that begin with `scripts/start.mjs`. */
  async markInstalled(): Promise<void> {
    const linked = join(this.root, 'node_modules')
    rmSync(linked)
    mkdirSync(linked)
    for (const name of readdirSync(join(ROOT, 'node_modules'))) {
      if (!name.startsWith('.agentos')) symlinkSync(join(ROOT, 'node_modules', name), join(linked, name))
    }
    cpSync(join(ROOT, 'pnpm-lock.yaml'), join(this.root, 'pnpm-lock.yaml'))
    const nothing = { command: process.execPath, args: ['-e', ''] }
    await installPackages(this.root, 'all', nothing)
  }

  /** Runs a script of the checkout to its end. */
  node(script: string, ...args: string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      const options = { cwd: this.root, env: this.env, maxBuffer: 16 * 1024 * 1024 }
      const child = execFile(process.execPath, [join(this.root, script), ...args], options, (_error, out, err) => {
        resolve({ code: child.exitCode ?? -1, out, err })
      })
    })
  }

  /** The command line before anything is built. */
  agentosFromSource(...args: string[]): Promise<Outcome> {
    return this.node('packages/cli/src/main.ts', ...args)
  }

  agentos(...args: string[]): Promise<Outcome> {
    return this.node('dist/agentos.mjs', ...args)
  }

  /** `agentos up`, in the foreground of nobody. Resolves once it says how to stop it. */
  async up(...args: string[]): Promise<{ output(): string; stop(): Promise<number | null> }> {
    const child = spawn(process.execPath, [join(this.root, 'dist/agentos.mjs'), 'up', ...args], {
      cwd: this.root,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.running.add(child)
    let output = ''
    const exit = new Promise<number | null>((resolve) => child.once('exit', resolve))
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text
          if (/^ +Stop /m.test(output)) resolve()
        })
      }
      child.once('close', (code) => reject(new Error(`agentos up ended with ${code}:\n${output}${this.logs()}`)))
    })
    return {
      output: () => output,
      stop: () => {
        child.kill('SIGTERM')
        return exit
      },
    }
  }

  /** What the processes wrote, for the message of a failed test. */
  logs(): string {
    const folder = join(this.root, 'data/logs')
    if (!existsSync(folder)) return ''
    return readdirSync(folder)
      .map((name) => `\n--- ${name}\n${readFileSync(join(folder, name), 'utf8')}`)
      .join('')
  }

  /** Ends what a failed test left running, and removes the folder. */
  async destroy(): Promise<void> {
    for (const child of this.running) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await gone
    }
    rmSync(this.root, { recursive: true, force: true })
  }
}

/** The packages of the workspace link to those of the copy, everything else to what is installed. */
function linkInstalled(root: string, name: string): void {
  const installed = join(ROOT, 'packages', name, 'node_modules')
  if (!existsSync(installed)) return
  const target = join(root, 'packages', name, 'node_modules')
  mkdirSync(target)
  for (const entry of readdirSync(installed).filter((entry) => !entry.startsWith('.') && entry !== '@agentos')) {
    symlinkSync(join(installed, entry), join(target, entry))
  }
  const ours = join(installed, '@agentos')
  if (!existsSync(ours)) return
  mkdirSync(join(target, '@agentos'))
  for (const entry of readdirSync(ours)) symlinkSync(join(root, 'packages', entry), join(target, '@agentos', entry))
}
