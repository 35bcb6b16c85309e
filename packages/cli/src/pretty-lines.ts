import { visibleLine, visibleText } from '@agentos/protocol'
import { prettyFactory } from 'pino-pretty'

/** Log lines as people read them; imported late, because only one command needs it. What was logged acts on nothing. */
export function prettyLines(): (line: string) => string {
  const pretty = prettyFactory({
    colorize: process.stdout.isTTY,
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
    singleLine: true,
    ignore: 'pid,hostname,stream',
  })
  return (line) => {
    const entry = entryOf(line)
    return entry ? pretty(entry).trimEnd() : visibleLine(line)
  }
}

function entryOf(line: string): object | undefined {
  try {
    const entry = JSON.parse(line) as unknown
    return typeof entry === 'object' && entry !== null ? (visibleIn(entry) as object) : undefined
  } catch {
    return undefined
  }
}

/** Only a stack has lines of its own: what looks like a line of the log is one. */
function visibleIn(value: unknown, name = ''): unknown {
  if (typeof value === 'string') return name === 'stack' ? visibleText(value) : visibleLine(value)
  if (Array.isArray(value)) return value.map((item) => visibleIn(item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [visibleLine(key), visibleIn(item, key)]))
}
