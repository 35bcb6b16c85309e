import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fingerprint } from '../setup/fingerprint.mjs'
import { place } from './files.ts'

/** Builds the page into dist/console where its sources changed; says whether there is a page at all. */
export async function buildConsole(root: string): Promise<boolean> {
  const source = join(root, 'packages/console')
  if (!existsSync(join(source, 'index.html'))) return false
  const out = join(root, 'dist/console')
  const stamp = join(root, 'dist/.cache/console')
  // The page may import types and contracts, so a change there is a change of the page.
  const print = fingerprint(root, ['packages/console', 'packages/protocol', 'packages/contracts', 'pnpm-lock.yaml'])
  const last = await readFile(stamp, 'utf8').catch(() => '')
  if (last === print && existsSync(join(out, 'index.html'))) return true
  await vite(source, out)
  await place(stamp, print)
  return true
}

function vite(source: string, out: string): Promise<void> {
  const program = join(source, 'node_modules/vite/bin/vite.js')
  const child = spawn(process.execPath, [program, 'build', '--outDir', out, '--emptyOutDir', '--logLevel', 'warn'], {
    cwd: source,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout.on('data', (chunk) => (said += chunk))
  child.stderr.on('data', (chunk) => (said += chunk))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', (code) => (code === 0 ? resolve() : reject(new Error(said.trim() || `vite ended with ${code}`))))
  })
}
