import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fingerprint } from './fingerprint.mjs'

/** Exit code of a build of which some workers failed and nothing else: all the rest can start. */
export const ONLY_WORKERS_FAILED = 3

function stamp(name, sources) {
  return {
    /** What the build reads, as one hash: when none of it has changed since, there is nothing to build. */
    print: (root) => fingerprint(root, sources),
    /** Where the last complete build left it. */
    file: (root) => join(root, 'dist', '.cache', name),
  }
}

/** Of everything. */
export const buildStamp = stamp('build', ['packages', 'workers', 'scripts', 'package.json', 'pnpm-lock.yaml'])

/** Of the command line, which depends on no worker. */
export const commandLineStamp = stamp('command-line', [
  'packages/cli',
  'packages/engine',
  'packages/protocol',
  'scripts',
  'package.json',
  'pnpm-lock.yaml',
])

export function isBuilt(root, { file, print } = buildStamp) {
  return existsSync(file(root)) && readFileSync(file(root), 'utf8') === print(root)
}
