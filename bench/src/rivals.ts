import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bringPnpm } from '../../scripts/setup/tools.mjs'

/** The systems that ours is compared with, in a workspace of their own: the product does not depend on them. */
export const rivalFolder = join(import.meta.dirname, '../rivals')
const root = join(import.meta.dirname, '../..')
const stamp = join(rivalFolder, 'node_modules', '.installed')
const LIMIT_MS = 15 * 60_000

/**
 * Installs them as their lock file says, where that has not been done: 0.5 GB, a minute or two, since one of them is
 * compiled where there is no prebuilt part for this Node. Resolves with what went wrong, `undefined` where all is there.
 */
export async function installRivals(): Promise<string | undefined> {
  const print = createHash('sha256')
    .update(process.version)
    .update(readFileSync(join(rivalFolder, 'pnpm-lock.yaml')))
    .update(readFileSync(join(rivalFolder, 'pnpm-workspace.yaml')))
    .digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === print) return undefined
  console.log('installing what is compared with (0.5 GB; once) …')
  try {
    const pnpm = await bringPnpm(root)
    // Integrity is pinned by the lock file; asking again for every package's age would only take time.
    const args = [...pnpm.args, 'install', '--frozen-lockfile', '--config.minimum-release-age=0']
    await runToEnd(pnpm.command, args)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  writeFileSync(stamp, print)
  return undefined
}

/** What the measurements know of the systems beside ours, and what they have to say about them. */
export class Rivals {
  readonly installed: boolean
  /** Versions and what was left out, in the order in which it came up; each once. */
  readonly notes: string[] = []

  static async install(): Promise<Rivals> {
    const problem = await installRivals()
    const rivals = new Rivals(problem === undefined)
    if (problem !== undefined) rivals.note(`Other systems are left out: ${problem.split('\n', 1)[0]}`)
    return rivals
  }

  constructor(installed: boolean) {
    this.installed = installed
  }

  version(name: string): string {
    return rivalVersion(name)
  }

  note(text: string): void {
    if (!this.notes.includes(text)) this.notes.push(text)
  }
}

/** A program of the rivals' workspace. */
export function rivalProgram(name: string): string {
  return join(rivalFolder, 'src', `${name}.mjs`)
}

/** The installed version of a package. */
export function rivalVersion(name: string): string {
  const manifest = JSON.parse(readFileSync(join(rivalFolder, 'node_modules', name, 'package.json'), 'utf8'))
  return (manifest as { version: string }).version
}

/** Restate's server for this platform, as its npm package brings it. */
export function restateServerBinary(): string {
  const wrapper = realpathSync(join(rivalFolder, 'node_modules/@restatedev/restate-server'))
  return join(dirname(wrapper), `restate-server-${process.platform}-${process.arch}`, 'bin', 'restate-server')
}

function runToEnd(command: string, args: string[]): Promise<void> {
  // A package that is compiled needs Node's headers; they lie beside the binary where a package brought both.
  const home = dirname(dirname(process.execPath))
  const headers = existsSync(join(home, 'include/node/node.h')) ? { npm_config_nodedir: home } : {}
  const child = spawn(command, args, {
    cwd: rivalFolder,
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}`, CI: '1', ...headers },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT_MS,
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (part: Buffer) => (said = (said + part.toString()).slice(-2_000)))
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`the installation failed:\n${said}`))))
  })
}
