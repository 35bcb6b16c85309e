import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as sleep } from 'node:timers/promises'
import { LineSplitter } from './supervisor/log-file.ts'

const POLL_MS = 200
/** Longer than any line that the supervisor writes. */
const MAX_LINE = 2 * 1024 * 1024

/** Gives the lines that are added to a file from now on, over rotations, until the signal is aborted. */
export async function follow(path: string, onLine: (line: string) => void, signal?: AbortSignal): Promise<void> {
  const lines = new LineSplitter(onLine, MAX_LINE)
  const decoder = new StringDecoder('utf8')
  let fd = openSync(path, 'r')
  let position = fstatSync(fd).size
  try {
    while (!signal?.aborted) {
      position = readFrom(fd, position, lines, decoder)
      const now = statSync(path, { throwIfNoEntry: false })
      if (now && now.ino !== fstatSync(fd).ino) {
        // The rotated file has said all it will; the new one is read from its beginning.
        readFrom(fd, position, lines, decoder)
        closeSync(fd)
        fd = openSync(path, 'r')
        position = 0
      } else {
        await sleep(POLL_MS)
      }
    }
  } finally {
    closeSync(fd)
  }
}

function readFrom(fd: number, from: number, lines: LineSplitter, decoder: StringDecoder): number {
  const buffer = Buffer.alloc(64 * 1024)
  let position = from
  for (
    let read = readSync(fd, buffer, 0, buffer.length, position);
    read > 0;
    read = readSync(fd, buffer, 0, buffer.length, position)
  ) {
    lines.push(decoder.write(buffer.subarray(0, read)))
    position += read
  }
  return position
}
