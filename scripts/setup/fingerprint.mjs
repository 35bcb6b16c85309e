import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

const SKIPPED = new Set(['node_modules', 'dist', 'data', '.git', 'coverage'])

/**
 * One hash over the content of files and folders, given relative to `root`. Content, not times: a checkout or a
 * clone touches every file and changes none. What is not there counts as absent, so adding it changes the hash.
 */
export function fingerprint(root, paths) {
  const hash = createHash('sha256')
  for (const path of paths) add(hash, root, path)
  return hash.digest('hex')
}

function add(hash, root, path) {
  const full = join(root, path)
  const stat = statSync(full, { throwIfNoEntry: false })
  if (!stat) return
  if (stat.isDirectory()) {
    for (const name of readdirSync(full).sort()) if (!SKIPPED.has(name)) add(hash, root, `${path}/${name}`)
  } else if (stat.isFile() && !path.endsWith('.test.ts')) {
    const content = readFileSync(full)
    hash.update(`${path}\0${content.length}\0`).update(content)
  }
}
