import { existsSync, readFileSync } from 'node:fs'

const HEADER = 32
const FRAME_HEADER = 24

export type WalState =
  /** `end` is the byte behind the last finished commit. */
  | { state: 'clean'; end: number }
  /**
   * The end of the log was being written when the power went. `finished` where the commit's last frame is there and one
   * before it is not: disks write in any order before a sync, so this too is a commit that was never synced.
   */
  | { state: 'torn'; offset: number; end: number; finished: boolean }
  /** Bytes were changed after they had been synced: commits from this place on would be lost silently. */
  | { state: 'flipped'; offset: number; end: number }

/** How far a log was known to be synced: see `SyncedMark`. */
export interface Synced {
  salts: Buffer
  length: number
}

interface Frame {
  offset: number
  salted: boolean
  commit: boolean
  /** Follows from the beginning of the log by the running checksum. */
  valid: boolean
  /** Was written after the frame before it, as that one's own checksum says, whatever became of that one's bytes. */
  chained: boolean
}

/**
 * Walks a write-ahead log as SQLite does on opening (https://www.sqlite.org/fileformat2.html#walformat), and tells what
 * SQLite does not: whether the first bad frame is the end of an unfinished commit or damage in what was synced. Synced
 * is what lies in front of `synced`, and every commit behind which another was begun: SQLite syncs before it goes on.
 */
export function inspectWal(path: string, synced?: Synced): WalState {
  if (!existsSync(path)) return { state: 'clean', end: 0 }
  const log = readFileSync(path)
  if (log.length === 0) return { state: 'clean', end: 0 }
  if (log.length < HEADER) return { state: 'torn', offset: 0, end: 0, finished: false }
  const magic = log.readUInt32BE(0)
  const bigEndian = magic === 0x377f0683
  const sum = new Checksum(bigEndian)
  sum.add(log, 0, 24)
  const salts = log.subarray(16, 24)
  if ((!bigEndian && magic !== 0x377f0682) || !sum.matches(log, 24)) {
    return hasContent(log, HEADER)
      ? { state: 'flipped', offset: 0, end: 0 }
      : { state: 'torn', offset: 0, end: 0, finished: false }
  }
  const size = FRAME_HEADER + log.readUInt32BE(8)
  const known = synced?.salts.equals(salts) ? synced.length : 0
  return judge(framesOf(log, size, salts, sum), size, known)
}

function framesOf(log: Buffer, size: number, salts: Buffer, sum: Checksum): Frame[] {
  const frames: Frame[] = []
  let intact = true
  let before = HEADER - 8
  for (let offset = HEADER; offset + size <= log.length; offset += size) {
    const salted = log.subarray(offset + 8, offset + 16).equals(salts)
    // Behind the first bad frame only what each frame itself says of the one before it is left to go by.
    if (!intact) sum.restart(log, before)
    sum.add(log, offset, offset + 8)
    sum.add(log, offset + FRAME_HEADER, offset + size)
    const chained = salted && sum.matches(log, offset + 16)
    intact &&= chained
    frames.push({ offset, salted, commit: salted && log.readUInt32BE(offset + 4) > 0, valid: intact, chained })
    before = offset + 16
  }
  return frames
}

function judge(frames: Frame[], size: number, synced: number): WalState {
  const last = frames.findLast((frame) => frame.valid && frame.commit)
  const end = last ? last.offset + size : HEADER
  const first = frames.findIndex((frame) => !frame.valid)
  const bad = frames[first]
  // Also where the file was cut off or overwritten with nothing.
  if (end < synced) return { state: 'flipped', offset: bad?.offset ?? end, end }
  if (!bad) return { state: 'clean', end }
  const behind = frames.slice(first + 1)
  const wentOn = behind.some((frame, index) => frame.chained && frames[first + index]?.commit)
  if (wentOn) return { state: 'flipped', offset: bad.offset, end }
  // A frame of an earlier round of the log is simply its end.
  if (!bad.salted && !behind.some((frame) => frame.salted)) return { state: 'clean', end }
  return { state: 'torn', offset: bad.offset, end, finished: bad.commit || behind.some((frame) => frame.commit) }
}

function hasContent(log: Buffer, from: number): boolean {
  return log.subarray(from).some((byte) => byte !== 0)
}

/** The running checksum of a log, over 32-bit words in the byte order that its header names. */
class Checksum {
  private readonly bigEndian: boolean
  private first = 0
  private second = 0

  constructor(bigEndian: boolean) {
    this.bigEndian = bigEndian
  }

  add(log: Buffer, start: number, end: number): void {
    const view = new DataView(log.buffer, log.byteOffset, log.byteLength)
    let { first, second } = this
    for (let at = start; at < end; at += 8) {
      first = (first + view.getUint32(at, !this.bigEndian) + second) >>> 0
      second = (second + view.getUint32(at + 4, !this.bigEndian) + first) >>> 0
    }
    this.first = first
    this.second = second
  }

  /** Goes on from a checksum that stands in the log. */
  restart(log: Buffer, at: number): void {
    this.first = log.readUInt32BE(at)
    this.second = log.readUInt32BE(at + 4)
  }

  matches(log: Buffer, at: number): boolean {
    return log.readUInt32BE(at) === this.first && log.readUInt32BE(at + 4) === this.second
  }
}
