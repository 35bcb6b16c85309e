import {
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { crc32 } from 'node:zlib'
import { inspectWal, type Synced } from './wal.ts'

const HEADER = 32
const FRAME_HEADER = 24
/**
 * Salts of the log, how far it is synced, and a checksum over both; then the highest sequence that was synced, and a
 * checksum over all of it: less than a sector, so written whole or not. Older versions wrote and read the first part.
 */
const LOG_PART = 20
const LENGTH = 32

/** How long the mark itself may stay unsynced. */
const SYNC_AFTER_MS = 1_000

/**
 * Remembers beside the log how far it was synced, so that damage in the very last commit can be told from a commit
 * that the power cut short: both look the same in the log. It also knows a log that is gone altogether. Written after each commit and synced a moment later, so it
 * may lag behind and never runs ahead. What it cannot write it leaves: an old mark is still true.
 */
export class SyncedMark {
  private readonly walPath: string
  private readonly path: string
  private file: number | undefined
  private wal: number | undefined
  private readonly header = Buffer.alloc(HEADER)
  private readonly frame = Buffer.alloc(FRAME_HEADER)
  private readonly mark = Buffer.alloc(LENGTH)
  private salts: Buffer = Buffer.alloc(0)
  private end = 0
  private seq = 0
  private timer: NodeJS.Timeout | undefined

  /** `storePath` is the database's; its log has been inspected already. */
  constructor(storePath: string) {
    this.walPath = `${storePath}-wal`
    this.path = markPath(storePath)
  }

  /** To be called after a commit has returned, once for each, with the highest sequence in it. */
  advance(seq: number): void {
    this.seq = Math.max(this.seq, seq)
    try {
      this.wal ??= openSync(this.walPath, 'r')
      if (this.follow(this.wal)) this.write()
    } catch {
      // An old mark is still true.
    }
  }

  /** After the connection was opened anew: what is behind the last good commit may be left of one that failed. */
  forget(): void {
    this.salts = Buffer.alloc(0)
    if (this.wal !== undefined) closeSync(this.wal)
    this.wal = undefined
  }

  /** Removes the mark before the log goes. */
  close(): void {
    clearTimeout(this.timer)
    this.forget()
    if (this.file !== undefined) closeSync(this.file)
    this.file = undefined
    rmSync(this.path, { force: true })
  }

  /** Moves `end` over the frames of one commit. */
  private follow(wal: number): boolean {
    const { header, frame } = this
    if (readSync(wal, header, 0, HEADER, 0) < HEADER) return false
    const salts = header.subarray(16, 24)
    if (!salts.equals(this.salts)) {
      // A new round begins with this commit; after a start the log may hold others already.
      const isFirst = this.salts.length === 0
      this.salts = Buffer.from(salts)
      this.end = HEADER
      if (isFirst) {
        this.end = inspectWal(this.walPath).end
        return true
      }
    }
    const size = FRAME_HEADER + header.readUInt32BE(8)
    for (let at = this.end; readSync(wal, frame, 0, FRAME_HEADER, at) === FRAME_HEADER; at += size) {
      if (!frame.subarray(8, 16).equals(salts)) return false
      if (frame.readUInt32BE(4) === 0) continue
      this.end = at + size
      return true
    }
    return false
  }

  private write(): void {
    this.file ??= openSync(this.path, constants.O_RDWR | constants.O_CREAT, 0o600)
    const { mark } = this
    this.salts.copy(mark, 0)
    mark.writeBigUInt64BE(BigInt(this.end), 8)
    mark.writeUInt32BE(crc32(mark.subarray(0, 16)), 16)
    mark.writeBigUInt64BE(BigInt(this.seq), LOG_PART)
    mark.writeUInt32BE(crc32(mark.subarray(0, 28)), 28)
    writeSync(this.file, mark, 0, LENGTH, 0)
    this.timer ??= setTimeout(() => this.sync(), SYNC_AFTER_MS).unref()
  }

  private sync(): void {
    this.timer = undefined
    try {
      if (this.file !== undefined) fdatasyncSync(this.file)
    } catch {
      // Then it lags until the next one.
    }
  }
}

export function markPath(storePath: string): string {
  return `${storePath}-synced`
}

/** What the mark of a store says; `seq` is 0 where an older version wrote it. */
export interface Mark extends Synced {
  /** Records up to this sequence were synced. */
  seq: number
}

/** The mark of a store; nothing where there is none or it is not whole. */
export function readMark(storePath: string): Mark | undefined {
  const path = markPath(storePath)
  if (!existsSync(path)) return undefined
  const mark = readFileSync(path)
  if (mark.length < LOG_PART || crc32(mark.subarray(0, 16)) !== mark.readUInt32BE(16)) return undefined
  const hasSeq = mark.length >= LENGTH && crc32(mark.subarray(0, 28)) === mark.readUInt32BE(28)
  return {
    salts: mark.subarray(0, 8),
    length: Number(mark.readBigUInt64BE(8)),
    seq: hasSeq ? Number(mark.readBigUInt64BE(LOG_PART)) : 0,
  }
}
