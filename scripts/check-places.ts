import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Written in parts, so that this file does not find itself. */
const FORBIDDEN: { what: string; pattern: RegExp }[] = [
  {
    what: 'a registry host; the user chooses the registry',
    pattern: new RegExp(
      `\\b(${['registry', 'npm'].join('\\.|')}\\.)[a-z0-9-]+(\\.[a-z0-9-]+)*\\.(org|com|net|io|dev)\\b`,
      'i',
    ),
  },
  {
    what: 'a path of one machine',
    pattern: new RegExp(
      `(?<![\\w.~})-])/(${['(?:home|Users)/(?!(?:me|you)\\b)[A-Za-z]', 'root/', 'work/', 'opt/'].join('|')})[\\w.-]*`,
    ),
  },
]

/** Says which tracked files name the host of a registry or a path of somebody's machine. */
export async function checkPlaces(root: string): Promise<string[]> {
  const { stdout } = await run('git', ['ls-files', '-z'], { cwd: root, maxBuffer: 64 * 1024 * 1024 })
  const files = stdout.split('\0').filter((file) => file !== '')
  const found = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(join(root, file), 'utf8').catch(() => '')
      return text.includes('\0')
        ? []
        : placesIn(text).map(({ line, what, quote }) => `${file}:${line}: ${quote} is ${what}`)
    }),
  )
  return found.flat()
}

export function placesIn(text: string): { line: number; what: string; quote: string }[] {
  return text.split('\n').flatMap((content, index) =>
    FORBIDDEN.flatMap(({ what, pattern }) => {
      const match = pattern.exec(content)
      return match ? [{ line: index + 1, what, quote: match[0] }] : []
    }),
  )
}
