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

/** Splits what arrives into whole lines; a line longer than `maxLength` is cut so that it cannot fill the memory. */
export class LineSplitter {
  private rest = ''
  private readonly onLine: (line: string) => void
  private readonly maxLength: number

  constructor(onLine: (line: string) => void, maxLength = 256 * 1024) {
    this.onLine = onLine
    this.maxLength = maxLength
  }

  push(text: string): void {
    const lines = (this.rest + text).split('\n')
    this.rest = lines.pop() ?? ''
    for (const line of lines) if (line) this.onLine(line)
    if (this.rest.length > this.maxLength) this.end()
  }

  end(): void {
    if (this.rest) this.onLine(this.rest)
    this.rest = ''
  }
}
