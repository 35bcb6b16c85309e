import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface Seen {
  codes: string[]
  lost: number[]
  fewestReads: number
  slowest: { readMs: number; writeMs: number }
}

/** Runs `count` writes of a client in a folder while strace replaces the kernel's answers for the store's log. */
export async function withFault(folder: string, inject: string, count: number): Promise<Seen> {
  const data = join(folder, 'data')
  mkdirSync(data)
  const flags = ['-f', '-qq', '--seccomp-bpf', '-o', join(folder, 'trace'), '-P', join(data, 'store.sqlite-wal')]
  const client = join(import.meta.dirname, 'client.ts')
  const args = [...flags, '-e', `inject=${inject}`, process.execPath, client, data, String(count)]
  const { stdout } = await promisify(execFile)('strace', args)
  return JSON.parse(stdout) as Seen
}
