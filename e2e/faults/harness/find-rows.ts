import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Row } from './row.ts'

const FOLDER = join(import.meta.dirname, '../rows')

/** Every file `rows/<nn>-<name>.ts`, by number: a row is added by adding its file. */
export async function findRows(): Promise<Row[]> {
  const files = readdirSync(FOLDER).filter((name) => /^\d\d-[a-z0-9-]+\.ts$/.test(name))
  const rows = await Promise.all(
    files.map(async (file) => {
      const { row } = (await import(pathToFileURL(join(FOLDER, file)).href)) as { row?: Row }
      if (row?.row !== Number(file.slice(0, 2))) throw new Error(`rows/${file} does not export the row of its number`)
      return row
    }),
  )
  return rows.sort((a, b) => a.row - b.row)
}
