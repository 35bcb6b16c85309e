import { prettyFactory } from 'pino-pretty'

/** Log lines as people read them; imported late, because only one command needs it. */
export function prettyLines(): (line: string) => string {
  const pretty = prettyFactory({
    colorize: process.stdout.isTTY,
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
    singleLine: true,
    ignore: 'pid,hostname,stream',
  })
  return (line) => pretty(line).trimEnd()
}
