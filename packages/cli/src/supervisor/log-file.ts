import { closeSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

const MAX_BYTES = 10 * 1024 * 1024
const KEEP = 5

/** A log of JSON lines that is rotated by size: `x.jsonl`, then `x.jsonl.1` (newest) to `x.jsonl.4`; five files in all. */
export class LogFile {
  private readonly path: string
  private readonly maxBytes: number
  private readonly keep: number
  private fd: number
  private bytes: number

  constructor(path: string, limits: { maxBytes?: number; keep?: number } = {}) {
    this.path = path
    this.maxBytes = limits.maxBytes ?? MAX_BYTES
    this.keep = limits.keep ?? KEEP
    mkdirSync(dirname(path), { recursive: true })
    this.fd = openSync(path, 'a', 0o600)
    this.bytes = statSync(path).size
  }

  /** One line with its line feed. A full disk loses log lines, never the process. */
  write(line: string): void {
    const data = Buffer.from(line)
    try {
      if (this.bytes > 0 && this.bytes + data.length > this.maxBytes) this.rotate()
      writeSync(this.fd, data)
      this.bytes += data.length
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EBADF') throw error
    }
  }

  close(): void {
    closeSync(this.fd)
  }

  private rotate(): void {
    closeSync(this.fd)
    rmSync(`${this.path}.${this.keep - 1}`, { force: true })
    for (let n = this.keep - 2; n >= 1; n -= 1) moveIfThere(`${this.path}.${n}`, `${this.path}.${n + 1}`)
    if (this.keep > 1) moveIfThere(this.path, `${this.path}.1`)
    this.fd = openSync(this.path, 'w', 0o600)
    this.bytes = 0
  }
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** A line of a process as a line of its log: JSON as it is, anything else (a stack, a warning) wrapped. */
export function toLogLine(name: string, stream: 'stdout' | 'stderr', line: string, now: number): string {
  if (line.startsWith('{') && line.endsWith('}')) return `${line}\n`
  return `${JSON.stringify({ level: stream === 'stderr' ? 50 : 30, time: now, name, stream, msg: line })}\n`
}

/** Of a line that is too long to be kept whole. */
const CUT_AT = 1_000

/**
 * In place of a line that was too long: a record of its own, so that nothing of the line is taken for a record, or for
 * what the process said in its own words.
 */
export function toCutLine(name: string, stream: 'stdout' | 'stderr', start: string, now: number): string {
  const msg = 'A line was too long for the log and is cut'
  return `${JSON.stringify({ level: 40, time: now, name, stream, msg, cut: true, start: start.slice(0, CUT_AT) })}\n`
}

/** Splits what arrives into whole lines; of one that is longer than `maxLength` there is the start alone, once. */
export class LineSplitter {
  private rest = ''
  /** The line that arrives is too long, and its start was told. */
  private skips = false
  private readonly onLine: (line: string, isCut: boolean) => void
  private readonly maxLength: number

  constructor(onLine: (line: string, isCut: boolean) => void, maxLength = 256 * 1024) {
    this.onLine = onLine
    this.maxLength = maxLength
  }

  push(text: string): void {
    const [first = '', ...others] = text.split('\n')
    this.add(first)
    for (const line of others) {
      this.end()
      this.add(line)
    }
  }

  /** The line ends here. */
  end(): void {
    if (this.rest) this.onLine(this.rest, false)
    this.rest = ''
    this.skips = false
  }

  private add(text: string): void {
    if (this.skips) return
    this.rest += text
    if (this.rest.length <= this.maxLength) return
    this.onLine(this.rest.slice(0, this.maxLength), true)
    this.rest = ''
    this.skips = true
  }
}
