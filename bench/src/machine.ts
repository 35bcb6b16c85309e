import { execFileSync } from 'node:child_process'
import { arch, cpus, platform, totalmem } from 'node:os'

/** What the figures were measured on, and of what: no names of hosts, users or folders. */
export function describeMachine(root: string): string {
  const processors = cpus()
  const model = processors[0]?.model.trim() ?? 'unknown processor'
  const memory = `${(totalmem() / 2 ** 30).toFixed(1)} GiB`
  const day = new Date().toISOString().slice(0, 10)
  return [
    `Commit ${commit(root)}, ${day}. ${processors.length} cores (${model}), ${memory} memory,`,
    `${platform()} ${arch()}, Node ${process.versions.node}; servers, workers and load on the same machine.`,
  ].join(' ')
}

function commit(root: string): string {
  try {
    const git = (...args: string[]) => execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim()
    const changed = git('status', '--porcelain', '--', 'packages', 'workers', 'bench/src') !== ''
    return `${git('rev-parse', '--short', 'HEAD')}${changed ? ' with changes' : ''}`
  } catch {
    return 'unknown'
  }
}
