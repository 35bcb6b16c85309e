import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EngineError } from '@agentos/protocol'
import { DATA_FORMAT } from './record.ts'

/**
 * Whether a data folder was used: it has a format from the moment on that it has a store. Throws `data_too_new` for one
 * that a newer version wrote.
 */
export function wasUsed(folder: string): boolean {
  const format = readFormat(folder)
  if (format !== undefined) assertReadable(format, folder)
  return format !== undefined
}

/**
 * Writes today's number into a data folder. An older one gets it before anything in it is migrated: from then on the
 * older version refuses it. A new one gets it when its store is there: from then on a store that is missing is a loss.
 */
export function claimDataFolder(folder: string): void {
  if (readFormat(folder) === DATA_FORMAT) return
  const file = join(folder, 'format')
  // In place of the old one only when it is whole: a power cut never leaves an empty number.
  writeFileSync(`${file}.new`, `${DATA_FORMAT}\n`, { flush: true })
  renameSync(`${file}.new`, file)
  syncFolder(folder)
}

function readFormat(folder: string): number | undefined {
  const file = join(folder, 'format')
  return existsSync(file) ? Number(readFileSync(file, 'utf8').trim()) : undefined
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
