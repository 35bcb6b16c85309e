import { isUtf8 } from 'node:buffer'
import { hash, randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import type { fileRead, fileWrite } from '@agentos/contracts/toolbox'
import { AgentError, type OutputOf, type ParsedInputOf } from '@agentos/sdk'
import { Folder } from './folder.ts'
import { readPath } from './path.ts'

const { O_CREAT, O_EXCL, O_RDONLY, O_WRONLY } = constants
const OWNER_WRITES = 0o200
/** What a new content does not take over: it must not run as somebody else. */
const PERMISSIONS = 0o777

interface LoadedFile {
  bytes: Buffer
  /** Permissions alone. */
  mode: number
}

/** The files of agents: a folder per realm, and nothing outside of it. */
export class Workspace {
  private readonly root: string
  private readonly maxBytes: number
  /** Writes take turns, so that a hash that was compared is still that of the file which is replaced. */
  private writing: Promise<unknown> = Promise.resolve()

  constructor(root: string, maxBytes: number) {
    this.root = root
    this.maxBytes = maxBytes
  }

  async read(realm: string, input: ParsedInputOf<typeof fileRead>): Promise<OutputOf<typeof fileRead>> {
    const names = readPath(input.path)
    const file = await this.inFolder(realm, names, false, (folder, name) => this.load(folder, name))
    if (!file) throw new AgentError('not_found', `There is no file ${input.path} in the workspace`)
    const { bytes } = file
    // As text, bytes that are none would be lost, and with them the file that is written back.
    const encoding = input.encoding === 'utf8' && isUtf8(bytes) ? 'utf8' : 'base64'
    const from = Math.min(input.offset, bytes.length)
    const [start, next] =
      encoding === 'utf8'
        ? wholeCharacters(bytes, from, input.maxBytes)
        : [from, Math.min(from + input.maxBytes, bytes.length)]
    return {
      path: names.join('/'),
      content: bytes.subarray(start, next).toString(encoding),
      encoding,
      size: bytes.length,
      hash: hash('sha256', bytes),
      truncated: next < bytes.length,
      nextOffset: next < bytes.length ? next : null,
    }
  }

  write(realm: string, input: ParsedInputOf<typeof fileWrite>): Promise<OutputOf<typeof fileWrite>> {
    const names = readPath(input.path)
    const bytes = decode(input)
    if (bytes.length > this.maxBytes) {
      throw new AgentError('payload_too_large', `A file may have ${this.maxBytes} bytes, not ${bytes.length}`)
    }
    const written = this.writing.then(() =>
      this.inFolder(realm, names, true, async (folder, name) => {
        const before = await this.load(folder, name)
        compareHash(input.path, input.expectedHash, before && hash('sha256', before.bytes))
        if (before) await refuseToReplace(folder, name, before, input)
        await replace(folder, name, bytes, before?.mode ?? 0o600)
        return {
          path: names.join('/'),
          size: bytes.length,
          hash: hash('sha256', bytes),
          created: before === undefined,
        }
      }),
    )
    this.writing = written.catch(() => {})
    return written
  }

  /** SHA-256 of a file; undefined where there is none. */
  async hashOf(realm: string, path: string): Promise<string | undefined> {
    try {
      const file = await this.inFolder(realm, readPath(path), false, (folder, name) => this.load(folder, name))
      return file && hash('sha256', file.bytes)
    } catch (error) {
      if (error instanceof AgentError && error.code === 'not_found') return undefined
      throw error
    }
  }

  /** The file, where its content is the one that is to be written. */
  async written(
    realm: string,
    input: ParsedInputOf<typeof fileWrite>,
  ): Promise<Omit<OutputOf<typeof fileWrite>, 'created'> | undefined> {
    const bytes = decode(input)
    const wanted = hash('sha256', bytes)
    if ((await this.hashOf(realm, input.path)) !== wanted) return undefined
    return { path: readPath(input.path).join('/'), size: bytes.length, hash: wanted }
  }

  private async inFolder<T>(
    realm: string,
    names: readonly string[],
    create: boolean,
    work: (folder: Folder, name: string) => Promise<T>,
  ): Promise<T> {
    if (!/^[a-z0-9][a-z0-9_-]{0,127}$/i.test(realm)) throw new AgentError('forbidden', 'The realm has no workspace')
    const opened: Folder[] = []
    try {
      let folder = await Folder.openRoot(this.root, create)
      opened.push(folder)
      folder = await folder.folder(realm, create)
      opened.push(folder)
      for (const name of names.slice(0, -1)) {
        folder = await folder.folder(name, create)
        opened.push(folder)
      }
      return await work(folder, names.at(-1)!)
    } catch (error) {
      throw explain(error, names.join('/'))
    } finally {
      for (const folder of opened.toReversed()) await folder.close()
    }
  }

  /** Undefined where there is no such file. */
  private async load(folder: Folder, name: string): Promise<LoadedFile | undefined> {
    let handle: FileHandle
    try {
      handle = await folder.file(name, O_RDONLY)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
    try {
      const { size, nlink, mode } = await plainFile(handle)
      // A second name of the file may be anywhere.
      if (nlink > 1)
        throw new AgentError('forbidden', 'The file has another name too (a hard link), which may be outside')
      if (size > this.maxBytes)
        throw new AgentError('payload_too_large', `The file has ${size} bytes, over ${this.maxBytes}`)
      const bytes = Buffer.alloc(size)
      const { bytesRead } = await handle.read(bytes, 0, size, 0)
      return { bytes: bytes.subarray(0, bytesRead), mode: mode & PERMISSIONS }
    } finally {
      await handle.close()
    }
  }
}

async function plainFile(handle: FileHandle) {
  const stats = await handle.stat()
  if (!stats.isFile()) throw new AgentError('forbidden', 'Only plain files are read and written')
  return stats
}

/** A rename asks only the folder; here the file itself has a say. */
async function refuseToReplace(
  folder: Folder,
  name: string,
  { bytes, mode }: LoadedFile,
  { path, encoding }: ParsedInputOf<typeof fileWrite>,
): Promise<void> {
  if ((mode & OWNER_WRITES) === 0 || !(await opensForWriting(folder, name))) {
    throw new AgentError('forbidden', `${path} is read-only; write another file, or ask its owner to allow it`, {
      details: { reason: 'read_only', path },
    })
  }
  if (encoding === 'utf8' && !isUtf8(bytes)) {
    throw new AgentError(
      'conflict',
      `${path} is not text in UTF-8, and text would destroy it; write another file, or the bytes with the encoding base64`,
      { details: { reason: 'not_utf8', path } },
    )
  }
}

async function opensForWriting(folder: Folder, name: string): Promise<boolean> {
  try {
    await (await folder.file(name, O_WRONLY)).close()
    return true
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}

/** The new content stands beside the file, synced, before it takes its place. */
async function replace(folder: Folder, name: string, bytes: Buffer, mode: number): Promise<void> {
  const beside = `.${randomUUID()}.tmp`
  const handle = await folder.file(beside, O_WRONLY | O_CREAT | O_EXCL, 0o600)
  try {
    try {
      await handle.writeFile(bytes)
      await handle.chmod(mode)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await folder.rename(beside, name)
  } catch (error) {
    await folder.remove(beside).catch(() => {})
    throw error
  }
}

function compareHash(path: string, expected: string | null | undefined, found: string | undefined): void {
  if (expected === undefined || (expected ?? undefined) === found) return
  const now = found === undefined ? 'does not exist' : `has the hash ${found}`
  throw new AgentError('version_conflict', `${path} ${now}; read it again and apply the change to what is there`, {
    details: { hash: found ?? null },
  })
}

function decode({ content, encoding }: ParsedInputOf<typeof fileWrite>): Buffer {
  const bytes = Buffer.from(content, encoding)
  if (encoding === 'base64' && withoutPadding(bytes.toString('base64')) !== withoutPadding(content)) {
    throw new AgentError('invalid_input', 'content: this is not base64')
  }
  return bytes
}

/** The look behind lets a run of signs be tried once and not from each of its places. */
const withoutPadding = (base64: string): string => base64.replace(/(?<!=)=+$/, '')

/** From the character that `offset` leads into, so many bytes and no character cut in two; at least one. */
function wholeCharacters(bytes: Buffer, offset: number, maxBytes: number): [start: number, end: number] {
  const isInside = (at: number) => at < bytes.length && (bytes[at]! & 0xc0) === 0x80
  let start = offset
  while (isInside(start)) start -= 1
  let end = Math.min(offset + maxBytes, bytes.length)
  while (isInside(end)) end -= 1
  if (end <= start) for (end = Math.min(start + 1, bytes.length); isInside(end); ) end += 1
  return [start, end]
}

const REFUSALS = new Map([
  ['ELOOP', 'is or goes through a symbolic link, and those are not followed'],
  ['ENOTDIR', 'goes through something that is no folder'],
  ['EISDIR', 'is a folder'],
  ['ENXIO', 'is no plain file'],
  ['EACCES', 'may not be opened'],
  ['EPERM', 'may not be opened'],
])

function explain(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (error instanceof AgentError || code === undefined) return error
  if (code === 'ENOENT') return new AgentError('not_found', `There is no file ${path} in the workspace`)
  const refusal = REFUSALS.get(code)
  if (refusal) return new AgentError('forbidden', `${path} ${refusal}`, { details: { reason: 'path', path } })
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new AgentError('store_unavailable', `The disk of the workspace is full: ${path} was not written`)
  }
  return error
}
