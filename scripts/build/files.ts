import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Writes a file whole or not at all, and leaves one that already says the same untouched. */
export async function place(file: string, content: string | Uint8Array): Promise<void> {
  const next = Buffer.from(content)
  const old = await readFile(file).catch(() => undefined)
  if (old?.equals(next)) return
  await mkdir(dirname(file), { recursive: true })
  const draft = `${file}.${process.pid}.tmp`
  await writeFile(draft, next)
  await rename(draft, file)
}

/** Removes what an earlier build left in a folder. */
export async function keepOnly(folder: string, keep: ReadonlySet<string>): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  await Promise.all(
    names
      .filter((name) => !keep.has(join(folder, name)))
      .map((name) => rm(join(folder, name), { recursive: true, force: true })),
  )
}
