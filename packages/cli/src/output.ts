import { styleText } from 'node:util'
import { Refusal } from './refusal.ts'

type Style = Parameters<typeof styleText>[0]

/** Coloured where the stream is a terminal and NO_COLOR is not set. */
export const paint = (style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string =>
  styleText(style, text, { stream })

export const print = (text = ''): void => {
  process.stdout.write(`${text}\n`)
}

export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2))

/** Columns as wide as their widest cell; the last one as long as it is. */
export function table(rows: string[][], indent = ''): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => visibleLength(row[column] ?? ''))))
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === row.length - 1 ? cell : padTo(cell, widths[column] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => indent + line)
    .join('\n')
}

const ESCAPES = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g')

export const visibleLength = (text: string): number => text.replace(ESCAPES, '').length

export const padTo = (text: string, width: number): string =>
  text + ' '.repeat(Math.max(0, width - visibleLength(text)))

/** How an error looks: what happened, why, what to do. With `json`, the same as one object. */
export function printError(error: unknown, json: boolean): void {
  if (json) {
    const { code, title, detail, advice } = asRefusal(error)
    process.stderr.write(`${JSON.stringify({ error: { code, title, detail, advice } })}\n`)
    return
  }
  const refusal = asRefusal(error)
  const lines = [
    `${paint(['red', 'bold'], '✗', process.stderr)} ${paint('bold', refusal.title, process.stderr)}`,
    ...(refusal.detail ? refusal.detail.split('\n').map((line) => `  ${line}`) : []),
    ...refusal.advice.map((line) => `  ${paint('cyan', '→', process.stderr)} ${line}`),
  ]
  process.stderr.write(`${lines.join('\n')}\n`)
}

function asRefusal(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  const text =
    error instanceof Error
      ? process.env.LOG_LEVEL === 'debug'
        ? (error.stack ?? error.message)
        : error.message
      : String(error)
  return new Refusal('unexpected', 'Something went wrong', text, ['LOG_LEVEL=debug shows where.'], error)
}
