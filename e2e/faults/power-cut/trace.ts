import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'

/** One call that changed a file, or made a change durable, in the order in which the calls ended. */
export type FileCall =
  | { call: 'write'; path: string; offset: number; bytes: Buffer }
  | { call: 'append'; path: string; bytes: Buffer }
  | { call: 'truncate'; path: string; size: number }
  | { call: 'sync'; path: string }
  | { call: 'create'; path: string; truncate: boolean }
  | { call: 'unlink'; path: string }
  | { call: 'rename'; path: string; to: string }

const CALLS =
  'open,openat,write,pwrite64,pwritev,writev,fsync,fdatasync,sync_file_range,ftruncate,truncate,fallocate,unlink,unlinkat,rename,renameat,renameat2'

export const hasStrace: boolean = spawnSync('strace', ['-V']).status === 0

/** Runs a program of Node under strace and returns its calls on files whose path starts with one of `prefixes`. */
export function record(args: string[], traceFile: string, prefixes: readonly string[]): FileCall[] {
  const flags = ['-f', '-q', '-y', '-xx', '-s', '70000', '--seccomp-bpf', '-e', `trace=${CALLS}`, '-e', 'signal=none']
  const errors = openSync(`${traceFile}.stderr`, 'w')
  const run = spawnSync('strace', [...flags, '-o', traceFile, process.execPath, ...args], {
    stdio: ['ignore', 'ignore', errors],
    timeout: 120_000,
  })
  closeSync(errors)
  if (run.status !== 0) throw new Error(`The recording failed: ${readFileSync(`${traceFile}.stderr`, 'utf8')}`)
  return parseTrace(readFileSync(traceFile, 'latin1'), prefixes)
}

/** Reads what `strace -f -y -xx` wrote. Throws at a call on one of the files that it does not know. */
export function parseTrace(text: string, prefixes: readonly string[]): FileCall[] {
  const unfinished = new Map<string, string>()
  const calls: FileCall[] = []
  for (const line of text.split('\n')) {
    const [, pid, rest] = /^(\d+)\s+(.*)$/.exec(line) ?? []
    if (pid === undefined || rest === undefined) continue
    const begun = rest.indexOf(' <unfinished ...>')
    if (begun >= 0) {
      unfinished.set(pid, rest.slice(0, begun))
      continue
    }
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
    const whole = resumed ? (unfinished.get(pid) ?? '') + resumed[1] : rest
    const call = parseCall(whole, prefixes)
    if (call) calls.push(call)
  }
  return calls
}

function parseCall(text: string, prefixes: readonly string[]): FileCall | undefined {
  const [, name, inner, result] = /^(\w+)\((.*)\)\s+= (-?\d+)/.exec(text) ?? []
  if (name === undefined || inner === undefined || Number(result) < 0) return undefined
  const path = pathOf(name, inner)
  if (path === undefined || !prefixes.some((prefix) => path.startsWith(prefix))) return undefined
  switch (name) {
    case 'pwrite64': {
      const [, bytes, , offset] = /, "((?:\\x..)*)", (\d+), (\d+)$/.exec(inner) ?? []
      if (bytes !== undefined)
        return { call: 'write', path, offset: Number(offset), bytes: decode(bytes, Number(result)) }
      break
    }
    case 'write': {
      const [, bytes] = /, "((?:\\x..)*)", \d+$/.exec(inner) ?? []
      if (bytes !== undefined) return { call: 'append', path, bytes: decode(bytes, Number(result)) }
      break
    }
    case 'ftruncate':
    case 'truncate':
      return { call: 'truncate', path, size: Number(/, (\d+)$/.exec(inner)?.[1]) }
    case 'fsync':
    case 'fdatasync':
      return { call: 'sync', path }
    case 'open':
    case 'openat':
      return inner.includes('O_CREAT') ? { call: 'create', path, truncate: inner.includes('O_TRUNC') } : undefined
    case 'unlink':
    case 'unlinkat':
      return { call: 'unlink', path }
    case 'rename':
    case 'renameat':
    case 'renameat2':
      return { call: 'rename', path, to: strings(inner)[1] ?? '' }
  }
  throw new Error(`The recording has a call that the harness cannot replay: ${text.slice(0, 120)}`)
}

/** The file that a call is about: its descriptor's, or the one that it names. */
function pathOf(name: string, inner: string): string | undefined {
  if (/^(open|unlink|rename|truncate$)/.test(name)) return strings(inner)[0]
  const path = /^\d+<([^>]*)>/.exec(inner)?.[1]
  return path && decode(path, path.length).toString()
}

function strings(inner: string): string[] {
  return [...inner.matchAll(/"((?:\\x..)*)"/g)].map(([, text]) =>
    decode(text ?? '', Number.MAX_SAFE_INTEGER).toString(),
  )
}

function decode(text: string, length: number): Buffer {
  const bytes = text.includes('\\x') ? Buffer.from(text.replaceAll('\\x', ''), 'hex') : Buffer.from(text, 'latin1')
  return bytes.subarray(0, Math.min(length, bytes.length))
}
