import { mkdirSync } from 'node:fs'
import { takeLock } from '../supervisor/lock.ts'
import { sweepOrphans } from '../supervisor/orphans.ts'

/** Runs something that must have the data folder to itself; refused while the system runs, which cannot start meanwhile. */
export async function whileStopped<T>(data: string, work: () => T | Promise<T>): Promise<T> {
  mkdirSync(data, { recursive: true, mode: 0o700 })
  const release = takeLock(data, 'none: it works on the stored records')
  try {
    await sweepOrphans(data)
    return await work()
  } finally {
    release()
  }
}
