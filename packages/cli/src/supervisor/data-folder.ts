import { mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Refusal } from '../refusal.ts'

/** Number of the layout of the data folder. Raised only together with a migration. */
export const DATA_FORMAT = 3

const LEAST_FREE_MB = 100

/**
 * Creates the folder, and refuses where it cannot be written, is nearly full, or was made by a newer version. Its
 * format is written by the engine, when there is a store.
 */
export function prepareDataFolder(data: string): void {
  try {
    mkdirSync(join(data, 'logs'), { recursive: true, mode: 0o700 })
    const probe = join(data, `.write-probe-${process.pid}`)
    writeFileSync(probe, '')
    rmSync(probe)
  } catch (error) {
    throw notWritable(data, error as NodeJS.ErrnoException)
  }
  assertRoom(data)
  assertFormat(data)
}

function notWritable(data: string, error: NodeJS.ErrnoException): Refusal {
  if (error.code === 'ENOSPC') return diskFull(data, 0)
  return new Refusal(
    'data_not_writable',
    'The data folder cannot be written',
    `${data}: ${error.code === 'EROFS' ? 'the file system is read-only' : error.message}.`,
    ['Give this user write access to it, or', 'set AGENTOS_DATA to a folder that can be written.'],
    error,
  )
}

function assertRoom(data: string): void {
  const { bavail, bsize } = statfsSync(data)
  const freeMb = Math.floor((bavail * bsize) / 1024 / 1024)
  if (freeMb < LEAST_FREE_MB) throw diskFull(data, freeMb)
}

const diskFull = (data: string, freeMb: number): Refusal =>
  new Refusal(
    'disk_full',
    'There is too little room on the disk',
    `${data} has ${freeMb} MB left, and at least ${LEAST_FREE_MB} MB are needed.`,
    ['Free some space, or set AGENTOS_DATA to a folder on another disk.'],
  )

function assertFormat(data: string): void {
  const path = join(data, 'format')
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch {
    return
  }
  const format = Number(text)
  if (!Number.isInteger(format) || format < 1) {
    throw new Refusal('data_format_unknown', 'The data folder is not one of ours', `${path} says “${text}”.`, [
      'Set AGENTOS_DATA to the right folder, or restore this file from a backup.',
    ])
  }
  if (format > DATA_FORMAT) {
    throw new Refusal(
      'data_newer',
      'The data was made by a newer version',
      `${data} has format ${format}, and this version reads up to ${DATA_FORMAT}. Nothing was changed.`,
      ['Update AgentOS, or set AGENTOS_DATA to another folder.'],
    )
  }
}
