import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fingerprint } from './fingerprint.mjs'
import { capture } from './run.mjs'

/** The folders of the workspace, as pnpm-workspace.yaml lists them. */
function workspaceFolders(root) {
  const below = (folder) =>
    existsSync(join(root, folder)) ? readdirSync(join(root, folder)).map((name) => `${folder}/${name}`) : []
  return [...below('packages'), ...below('workers'), 'e2e', 'bench'].filter((folder) =>
    existsSync(join(root, folder, 'package.json')),
  )
}

function packagesPrint(root) {
  const manifests = workspaceFolders(root).map((folder) => `${folder}/package.json`)
  return fingerprint(root, ['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', ...manifests])
}

const stampFile = (root) => join(root, 'node_modules', '.agentos-installed.json')

/** What is installed now: for running (`prod`), everything (`all`) or nothing, and the state it was installed from. */
export function installState(root) {
  const stamp = stampFile(root)
  if (existsSync(stamp)) return JSON.parse(readFileSync(stamp, 'utf8'))
  // Somebody ran pnpm by hand: keep what they have, and check it once.
  if (existsSync(join(root, 'node_modules', 'vitest'))) return { packages: 'all', print: '' }
  return { packages: 'none', print: '' }
}

/**
 * Which set of packages must be installed to have what is wanted; `undefined` where it is all there. Never fewer than
 * there are: a start after a test run must not take the test tools away again.
 */
export function needsInstall(root, wanted, state = installState(root)) {
  const most = wanted === 'all' || state.packages === 'all' ? 'all' : 'prod'
  return state.packages === most && state.print === packagesPrint(root) ? undefined : most
}

/** Installs exactly what the lock file says. */
export async function installPackages(root, packages, pnpm) {
  // What is pinned by integrity was judged when it was locked: asking the registry for the age of every package again
  // would take as long as the installation.
  const args = ['install', '--config.minimum-release-age=0', ...(packages === 'prod' ? ['--prod'] : [])]
  // A folder that is not in the lock file yet (a new worker) is added to it; everything else stays as it is pinned.
  args.push(newFolders(root).length > 0 ? '--no-frozen-lockfile' : '--frozen-lockfile')
  await capture(pnpm.command, [...pnpm.args, ...args], { cwd: root })
  writeFileSync(stampFile(root), JSON.stringify({ packages, print: packagesPrint(root) }))
}

/** Folders of the workspace that the lock file does not know. */
export function newFolders(root) {
  const lock = readFileSync(join(root, 'pnpm-lock.yaml'), 'utf8')
  return workspaceFolders(root).filter((folder) => !new RegExp(`^  '?${folder}'?:`, 'm').test(lock))
}
