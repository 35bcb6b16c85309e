import { constants, type Stats } from 'node:fs'
import { type FileHandle, lstat, mkdir, open, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { AgentError } from '@agentos/sdk'

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** On Linux a path through an open folder leads into that folder, whatever its name leads to by now. */
const THROUGH_HANDLES = process.platform === 'linux'

/**
 * An open folder. What is opened, made or renamed in it is in this folder itself and no symbolic link is followed, even
 * where somebody swaps folders for links meanwhile.
 */
export class Folder {
  private readonly handle: FileHandle
  private readonly path: string
  private readonly parent: Folder | undefined

  private constructor(handle: FileHandle, path: string, parent: Folder | undefined) {
    this.handle = handle
    this.path = path
    this.parent = parent
  }

  /** The folder that the owner named; links on the way to it are the owner's. */
  static async openRoot(path: string, create: boolean): Promise<Folder> {
    if (create) await mkdir(path, { recursive: true, mode: 0o700 })
    return new Folder(await open(path, O_RDONLY | O_DIRECTORY), path, undefined)
  }

  /** `create` makes what is missing; else `ENOENT`. */
  async folder(name: string, create: boolean): Promise<Folder> {
    await this.settled()
    const path = this.at(name)
    if (create) {
      await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      })
    }
    const handle = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    const folder = new Folder(handle, join(this.path, name), this)
    return folder.kept(handle, folder)
  }

  /** Opens a file in this folder; a pipe does not make it wait. */
  async file(name: string, flags: number, mode?: number): Promise<FileHandle> {
    await this.settled()
    const handle = await open(this.at(name), flags | O_NOFOLLOW | O_NONBLOCK, mode)
    return this.kept(handle, handle)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.settled()
    await rename(this.at(from), this.at(to))
    await this.handle.sync()
  }

  async remove(name: string): Promise<void> {
    await unlink(this.at(name))
  }

  close(): Promise<void> {
    return this.handle.close()
  }

  private at(name: string): string {
    return join(THROUGH_HANDLES ? `/proc/self/fd/${this.handle.fd}` : this.path, name)
  }

  /** Looks again after opening, where a path has to stand for the folder. */
  private async kept<T>(handle: FileHandle, opened: T): Promise<T> {
    try {
      await this.settled()
      return opened
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  private async settled(): Promise<void> {
    if (THROUGH_HANDLES || !this.parent) return
    await this.parent.settled()
    const [now, then] = await Promise.all([lstat(this.path), this.handle.stat()])
    if (!isSame(now, then)) throw new AgentError('forbidden', 'A folder on the way was replaced meanwhile')
  }
}

function isSame(a: Stats, b: Stats): boolean {
  return a.dev === b.dev && a.ino === b.ino
}
