import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { FileCall } from './trace.ts'

/** What a disk writes whole or not at all. */
const SECTOR = 512

/** Chooses what of the writes that were not synced has reached the disk. */
export interface Choice {
  /** How many of the `count` latest contents of a sector, of the sizes of a file or of the names of a folder hold. */
  keep(count: number): number
}

/** A file as the kernel sees it (`now`), as the disk is sure to have it, and what lies between. */
class DiskFile {
  private now = Buffer.alloc(0)
  private size = 0
  private synced = Buffer.alloc(0)
  /** Contents of each sector that was written since the last sync, oldest first. */
  private readonly sectors = new Map<number, Buffer[]>()
  private readonly sizes: number[] = []

  write(offset: number, bytes: Buffer): void {
    const end = offset + bytes.length
    if (end > this.now.length)
      this.now = Buffer.concat([this.now, Buffer.alloc(Math.max(end * 2, 65_536) - this.now.length)])
    bytes.copy(this.now, offset)
    this.size = Math.max(this.size, end)
    this.sizes.push(this.size)
    this.touch(offset, end)
  }

  append(bytes: Buffer): void {
    this.write(this.size, bytes)
  }

  truncate(size: number): void {
    if (size < this.size) {
      this.now.fill(0, size, this.size)
      this.touch(size, this.size)
    }
    this.size = size
    this.sizes.push(size)
  }

  sync(): void {
    this.synced = Buffer.from(this.now.subarray(0, this.size))
    this.sectors.clear()
    this.sizes.length = 0
  }

  /** The file after a power cut now. */
  after(choice: Choice): Buffer {
    const kept = choice.keep(this.sizes.length)
    const size = kept === 0 ? this.synced.length : (this.sizes[kept - 1] ?? 0)
    const result = Buffer.alloc(size)
    this.synced.copy(result, 0, 0, Math.min(size, this.synced.length))
    for (const [index, contents] of this.sectors) {
      const content = contents[choice.keep(contents.length) - 1]
      content?.copy(result, index * SECTOR, 0, Math.max(0, Math.min(SECTOR, size - index * SECTOR)))
    }
    return result
  }

  private touch(from: number, to: number): void {
    for (let index = Math.floor(from / SECTOR); index * SECTOR < to; index += 1) {
      const content = Buffer.from(this.now.subarray(index * SECTOR, (index + 1) * SECTOR))
      const list = this.sectors.get(index)
      if (list) list.push(content)
      else this.sectors.set(index, [content])
    }
  }
}

/**
 * A disk under one folder, with the promises of POSIX and no more: a file's bytes are sure after its sync, its name
 * after the sync of its folder. Between, sectors reach the disk in any order, names in the order in which they changed.
 */
export class Disk {
  private readonly folder: string
  private names = new Map<string, DiskFile>()
  private syncedNames = new Map<string, DiskFile>()
  private changes: Map<string, DiskFile>[] = []

  constructor(folder: string) {
    this.folder = folder
  }

  apply(call: FileCall): void {
    switch (call.call) {
      case 'create':
        if (!this.names.has(call.path)) this.rename((names) => names.set(call.path, new DiskFile()))
        else if (call.truncate) this.file(call.path).truncate(0)
        return
      case 'write':
        return this.file(call.path).write(call.offset, call.bytes)
      case 'append':
        return this.file(call.path).append(call.bytes)
      case 'truncate':
        return this.file(call.path).truncate(call.size)
      case 'unlink':
        return this.rename((names) => names.delete(call.path))
      case 'rename':
        return this.rename((names) => {
          names.set(call.to, this.file(call.path))
          names.delete(call.path)
        })
      case 'sync':
        if (call.path !== this.folder) return this.file(call.path).sync()
        this.syncedNames = new Map(this.names)
        this.changes = []
    }
  }

  /** Writes the folder as it may be found after a power cut now. */
  restore(folder: string, choice: Choice): void {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    const kept = choice.keep(this.changes.length)
    const names = kept === 0 ? this.syncedNames : (this.changes[kept - 1] ?? this.syncedNames)
    for (const [path, file] of names) {
      if (dirname(path) === this.folder) writeFileSync(join(folder, basename(path)), file.after(choice))
    }
  }

  private file(path: string): DiskFile {
    const file = this.names.get(path)
    if (!file) throw new Error(`The recording writes to ${basename(path)}, which it never created`)
    return file
  }

  private rename(change: (names: Map<string, DiskFile>) => void): void {
    this.names = new Map(this.names)
    change(this.names)
    this.changes.push(this.names)
  }
}

export const SYNCED_ONLY = 'only what was synced'

/** The ways in which a power cut is tried at every place, beside seeded ones. */
export function choicesOf(random: () => number): Record<string, Choice> {
  const share = (part: number): Choice => ({
    keep: (count) => (random() < part ? count : Math.floor(random() * (count + 1))),
  })
  return {
    [SYNCED_ONLY]: { keep: () => 0 },
    'everything written': { keep: (count) => count },
    'some of it': share(0),
    'most of it': share(0.9),
  }
}
