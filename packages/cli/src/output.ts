import { styleText } from 'node:util'
import { visibleLine, visibleText } from '@agentos/protocol'
import { Refusal } from './refusal.ts'

type Style = Parameters<typeof styleText>[0]

/** Coloured where the stream is a terminal and NO_COLOR is not set; nothing in the text acts on it. */
export const paint = (style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string =>
  styleText(style, visibleText(text), { stream })

export const print = (text = ''): void => {
  process.stdout.write(`${text}\n`)
}

/** For programs: exactly the value. */
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2))

/** For people: JSON of the same value in which nothing acts on the terminal. */
export const jsonText = (value: unknown): string => visibleText(JSON.stringify(value, null, 2) ?? 'null')

/** Columns as wide as their widest cell, a line each; the last one as long as it is. */
export function table(cells: string[][], indent = ''): string {
  const rows = cells.map((row) => row.map(visibleCell))
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
/** What `paint` makes of the styles that are used here. */
const PAINTED = new RegExp(`(${String.fromCharCode(27)}\\[(?:1|2|22|3[1-69])m)`)

const visibleCell = (cell: string): string =>
  cell
    .split(PAINTED)
    .map((part, index) => (index % 2 === 1 ? part : visibleLine(part)))
    .join('')

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
    ...(refusal.detail
      ? visibleText(refusal.detail)
          .split('\n')
          .map((line) => `  ${line}`)
      : []),
    ...refusal.advice.map((line) => `  ${paint('cyan', '→', process.stderr)} ${visibleText(line)}`),
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
