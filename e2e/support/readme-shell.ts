import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'

/** A system in a folder like a checkout. */
interface Place {
  root: string
  httpUrl: string
}

const README = join(import.meta.dirname, '../../README.md')
/** Where `npm start` listens unless it is told otherwise. */
const ADDRESS = 'http://127.0.0.1:3111'

/** The blocks of one section of the README in one language, in order. */
export function blocksOf(section: string, language: 'sh' | 'yaml'): string[] {
  const text = readFileSync(README, 'utf8').split(/^## /m)
  const found = text.find((part) => part.startsWith(`${section}\n`))
  if (!found) throw new Error(`The README has no section ${section}`)
  const fence = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')
  return [...found.matchAll(fence)].map(([, block]) => block!)
}

/**
 * A shell as the reader of the README has it, in front of a system that listens elsewhere. Three things differ: the
 * address, `npm run` calls the built command line at once, and `sleep` ends when the test says so, not after a time.
 */
export class ReadmeShell {
  private readonly system: Place
  private readonly env: NodeJS.ProcessEnv
  private readonly bin: string
  private readonly awake: string

  /** `env` is given to every command, beside what a shell needs. */
  constructor(system: Place, env: NodeJS.ProcessEnv = {}) {
    this.system = system
    this.env = env
    this.bin = join(system.root, 'bin')
    this.awake = join(system.root, 'awake')
    mkdirSync(this.bin)
    const scripts = [
      'case "$1 $2 $3 $4" in',
      '"run -s agentos --") shift 4; exec node dist/agentos.mjs "$@";;',
      '"test -- "*) shift 2; exec node node_modules/vitest/vitest.mjs run "$@";;',
      'esac; exit 64',
    ]
    this.program('npm', scripts.join('\n'))
    this.program('sleep', `until [ -e '${this.awake}' ]; do /bin/sleep 0.02; done`)
  }

  private program(name: string, script: string): void {
    writeFileSync(join(this.bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  }

  /** Ends the `sleep` of the commands that run now. */
  wake(): void {
    writeFileSync(this.awake, '')
  }

  /** Runs commands to their end; what they wrote, and the exit code of the last one. */
  async run(commands: string, given: Record<string, string> = {}): Promise<{ out: string; code: number }> {
    rmSync(this.awake, { force: true })
    const script = Object.entries(given).reduce((text, [name, value]) => text.replaceAll(`<${name}>`, value), commands)
    const shell = spawn('bash', ['-c', script.replaceAll(ADDRESS, this.system.httpUrl)], {
      cwd: this.system.root,
      env: {
        ...this.env,
        PATH: [this.bin, dirname(process.execPath), process.env.PATH].join(delimiter),
        HOME: this.system.root,
        NO_COLOR: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let out = ''
    for (const stream of [shell.stdout, shell.stderr])
      stream.setEncoding('utf8').on('data', (part: string) => {
        out += part
      })
    const [code] = (await once(shell, 'close')) as [number]
    return { out, code }
  }

  get isAwake(): boolean {
    return existsSync(this.awake)
  }
}
