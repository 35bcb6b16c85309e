import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { fillSmallDisk, hasSmallDisk } from './disk/small-disk.ts'
import { withFault } from './disk/with-fault.ts'
import { hasStrace } from './power-cut/trace.ts'

if (!hasStrace) console.log('Errors and delays of the disk are not tested here: strace is not installed')

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agentos-disk-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe.skipIf(!hasStrace)('a disk that fails', () => {
  it('with EIO at a sync: the write is refused, reads go on, and so do writes when the disk does', async () => {
    const seen = await withFault(folder, 'fsync,fdatasync:error=EIO:when=9..12', 40)
    const refused = seen.codes.filter((code) => code !== 'ok')
    expect(new Set(refused)).toEqual(new Set(['store_unavailable']))
    expect(seen.codes.slice(-10)).toEqual(Array(10).fill('ok'))
    expect(seen.lost).toEqual([])
  })

  it('with EIO at a write: likewise', async () => {
    const seen = await withFault(folder, 'pwrite64:error=EIO:when=30..36', 40)
    expect(new Set(seen.codes)).toEqual(new Set(['ok', 'store_unavailable']))
    expect(seen.codes.at(-1)).toBe('ok')
    expect(seen.lost).toEqual([])
  })

  it('by being slow: what touches no disk goes on while a write waits', async () => {
    const seen = await withFault(folder, 'fsync,fdatasync:delay_enter=200000', 5)
    expect(new Set(seen.codes)).toEqual(new Set(['ok']))
    // Were reads to wait, there would be one for each write.
    expect(seen.fewestReads).toBeGreaterThan(3)
    console.log(
      `each sync 200 ms: slowest read ${seen.slowest.readMs.toFixed(1)} ms, write ${seen.slowest.writeMs.toFixed(0)} ms`,
    )
  })
})

if (!hasSmallDisk) console.log('A full disk is not tested here: this user cannot mount a small one')

describe.skipIf(!hasSmallDisk)('a full disk', () => {
  it('refuses writes by a typed error, serves reads, and takes writes again when there is room', async () => {
    const seen = await fillSmallDisk()
    expect(seen.refusal).toBe('store_unavailable')
    expect(seen.written).toBeGreaterThan(1)
    expect(seen.lost).toEqual([])
    expect(seen.later).toBe('ok')
  })
})
