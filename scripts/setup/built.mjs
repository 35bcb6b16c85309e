import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fingerprint } from './fingerprint.mjs'

/** Whatever a build reads: when none of it has changed since, there is nothing to build. */
export function buildPrint(root) {
  return fingerprint(root, ['packages', 'workers', 'scripts', 'package.json', 'pnpm-lock.yaml'])
}

/** Where the last complete build left its fingerprint. */
export function buildStamp(root) {
  return join(root, 'dist', '.cache', 'build')
}

export function isBuilt(root) {
  const stamp = buildStamp(root)
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === buildPrint(root)
}
