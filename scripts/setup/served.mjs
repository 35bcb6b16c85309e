import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where each running supervisor leaves a file that is called like its process. */
export function servedFolder(root) {
  return join(root, 'dist', '.cache', 'served')
}

/** The process of a supervisor that runs what is built here; `undefined` where none does. */
export function servedBy(root) {
  let names
  try {
    names = readdirSync(servedFolder(root))
  } catch {
    return undefined
  }
  return names.map(Number).find((pid) => {
    const command = readFileSync(join(servedFolder(root), String(pid)), 'utf8')
    return command !== '' && commandOf(pid).includes(command)
  })
}

/** A number that a stranger has by now, after a restart of the machine, serves nothing. */
function commandOf(pid) {
  if (process.platform !== 'linux') {
    return spawnSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).stdout ?? ''
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}
