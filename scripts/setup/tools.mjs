import { createHash } from 'node:crypto'
import fs, {
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { broughtNode, pinnedNode } from './node-choice.mjs'
import { problems } from './problems.mjs'
import { capture } from './run.mjs'

/** What a first start needs on disk, with room for the data of a first day. */
const ROOM_MB = 500

/** Fails where nothing could be installed anyway: a folder that cannot be written, or too little disk. */
export function assertRoomToWork(root) {
  try {
    if (!existsSync(join(root, 'node_modules'))) mkdirSync(join(root, 'node_modules'))
    rmSync(mkdtempSync(join(root, 'node_modules', '.probe-')), { recursive: true })
  } catch (error) {
    throw problems.readOnly(root, error.code)
  }
  // Early releases of Node 18 cannot tell.
  if (!fs.statfsSync) return
  const { bavail, bsize } = fs.statfsSync(root)
  const freeMb = Math.floor((bavail * bsize) / 1e6)
  if (freeMb < ROOM_MB) throw problems.littleDisk(root, freeMb, ROOM_MB)
}

/** Whether the brought Node is there and is the file that was checked when it came. */
export function nodeIsHere(root) {
  const file = broughtNode(root)
  const checked = checkedFile(root)
  return existsSync(file) && existsSync(checked) && readFileSync(checked, 'utf8') === identity(file, pinnedNode(root))
}

/** Brings the pinned Node where it is not there yet, checks it against the SHA-256 in the repository, returns its path. */
export async function bringNode(root) {
  const file = broughtNode(root)
  if (nodeIsHere(root)) return file
  const pin = pinnedNode(root)
  await npmInstall(join(root, 'tools', 'node'))
  if (!existsSync(file)) throw problems.nodeDidNotCome(pin)
  // Headers for compiling add-ons, a third of the package; nothing here is compiled.
  for (const part of ['include', 'share']) rmSync(join(file, '..', '..', part), { recursive: true, force: true })
  const sha256 = await hashOf(file)
  if (sha256 !== pin.sha256) {
    rmSync(join(root, 'tools', 'node', 'node_modules'), { recursive: true, force: true })
    throw problems.foreignBinary(pin, sha256)
  }
  writeFileSync(checkedFile(root), identity(file, pin))
  return file
}

/** Brings the pinned pnpm; returns the command to run it with. */
export async function bringPnpm(root) {
  const folder = join(root, 'tools', 'pnpm')
  const pinned = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).dependencies.pnpm
  const installed = join(folder, 'node_modules', 'pnpm', 'package.json')
  if (!existsSync(installed) || JSON.parse(readFileSync(installed, 'utf8')).version !== pinned) await npmInstall(folder)
  // The package itself is a small script that fetches a binary where npm did not; the binary alone starts faster.
  const binary = join(folder, 'node_modules', '@pnpm', `exe.${process.platform}-${process.arch}`, 'pnpm')
  if (existsSync(binary)) return { command: binary, args: [] }
  return { command: process.execPath, args: [join(folder, 'node_modules', 'pnpm', 'bin', 'pnpm.mjs')] }
}

/** Installs one of the folders under tools/ as its lock file says, running no package's scripts. */
async function npmInstall(folder) {
  // A cache of its own, thrown away: what is brought once must not lie on the disk twice.
  const cache = mkdtempSync(join(tmpdir(), 'agentos-npm-'))
  const flags = ['--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error']
  // An unreachable registry is said within seconds instead of after npm's own minutes.
  const patience = [
    '--fetch-retries=1',
    '--fetch-retry-mintimeout=1000',
    '--fetch-retry-maxtimeout=3000',
    '--fetch-timeout=60000',
  ]
  try {
    await capture('npm', ['install', ...flags, ...patience, '--cache', cache], { cwd: folder })
  } finally {
    rmSync(cache, { recursive: true, force: true })
  }
}

const checkedFile = (root) => join(root, 'tools', 'node', 'node_modules', '.agentos-checked')

/** Size and time tell a swapped file without reading 150 MB at each start. */
function identity(file, pin) {
  const { size, mtimeMs } = statSync(file)
  return `${pin.sha256} ${size} ${Math.floor(mtimeMs)}`
}

export function hashOf(file) {
  const hash = createHash('sha256')
  return new Promise((resolve, reject) => {
    createReadStream(file)
      .on('data', (chunk) => hash.update(chunk))
      .on('error', reject)
      .on('end', () => resolve(hash.digest('hex')))
  })
}
