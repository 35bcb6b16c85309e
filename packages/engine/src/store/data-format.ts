import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EngineError } from '@agentos/protocol'
import { DATA_FORMAT } from './record.ts'

/**
 * Creates the data folder where it is missing, and refuses one that a newer version wrote (`data_too_new`). An older
 * one gets today's number before anything in it is migrated: from then on the older version refuses it.
 */
export function claimDataFolder(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const file = join(folder, 'format')
  if (existsSync(file)) {
    const format = Number(readFileSync(file, 'utf8').trim())
    assertReadable(format, folder)
    if (format === DATA_FORMAT) return
  }
  // In place of the old one only when it is whole: a power cut never leaves an empty number.
  writeFileSync(`${file}.new`, `${DATA_FORMAT}\n`, { flush: true })
  renameSync(`${file}.new`, file)
  syncFolder(folder)
}

export function assertReadable(format: number, place: string): void {
  if (Number.isInteger(format) && format >= 0 && format <= DATA_FORMAT) return
  throw new EngineError(
    'data_too_new',
    `The data in ${place} has format ${format}, and this version reads formats up to ${DATA_FORMAT}. ` +
      'Start the newer version again, or set AGENTOS_DATA to another folder',
  )
}

/** Makes the names of new files in a folder durable. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
