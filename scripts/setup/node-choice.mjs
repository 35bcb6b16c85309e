import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The oldest Node that can run set-up itself. */
export const OLDEST_FOR_SETUP = 18
/** The oldest Node that can run AgentOS; below it set-up brings one. */
export const OLDEST_TO_RUN = 24

export function major(version) {
  return Number.parseInt(version, 10)
}

export function isRecent(version) {
  return major(version) >= OLDEST_TO_RUN
}

/**
 * The pinned Node for a platform: package, version, the binary inside it and its SHA-256; `undefined` where the
 * registry has none for it.
 */
export function pinnedNode(root, platform = process.platform, arch = process.arch) {
  const file = join(root, 'tools', 'node', 'binaries.json')
  if (!existsSync(file)) return undefined
  return JSON.parse(readFileSync(file, 'utf8'))[`${platform}-${arch}`]
}

/** Where set-up puts the binary, whether it is there yet or not. */
export function broughtNode(root, platform = process.platform, arch = process.arch) {
  const pin = pinnedNode(root, platform, arch)
  return pin && join(root, 'tools', 'node', 'node_modules', pin.package, ...pin.binary.split('/'))
}

/** `host` where the running Node is recent enough, `brought` where set-up must bring one, else why neither works. */
export function chooseNode(version, pin) {
  if (major(version) < OLDEST_FOR_SETUP) return 'too-old'
  if (isRecent(version)) return 'host'
  return pin ? 'brought' : 'none-for-platform'
}
