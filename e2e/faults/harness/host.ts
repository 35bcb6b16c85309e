import { execFileSync } from 'node:child_process'
import { availableParallelism, loadavg, release, type } from 'node:os'

/** What a row ran on. No names of hosts, users or folders. */
export interface Host {
  cpus: number
  kernel: string
  node: string
  /** One-minute load when the row ended: others may have used the machine. */
  load: number
}

export function describeHost(): Host {
  const [load = 0] = loadavg()
  return {
    cpus: availableParallelism(),
    kernel: `${type()} ${release()}`,
    node: process.versions.node,
    load: Number(load.toFixed(1)),
  }
}

/** The commit that is checked out, and whether what runs is changed against it. */
export function describeCommit(root: string): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim()
    const changed = git('status', '--porcelain', '--', 'packages', 'workers', 'e2e/faults', ':!e2e/faults/results.json')
    return `${git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : ' with changes'}`
  } catch {
    return 'unknown'
  }
}
