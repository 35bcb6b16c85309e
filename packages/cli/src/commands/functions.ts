import { visibleLine } from '@agentos/protocol'
import type { Command } from 'commander'
import { jsonText, paint, print, printJson, table } from '../output.ts'
import { Refusal } from '../refusal.ts'
import { connect, type GlobalOptions } from './connect.ts'

export interface FunctionRow {
  id: string
  worker: string
  summary: string
  request_format?: unknown
  response_format?: unknown
}

/** Rows whose id, worker or description holds every word, in any order. */
export function matching(rows: FunctionRow[], search: string): FunctionRow[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean)
  return rows.filter((row) => {
    const text = `${row.id} ${row.worker} ${row.summary}`.toLowerCase()
    return words.every((word) => text.includes(word))
  })
}

export function addFunctions(program: Command): void {
  program
    .command('functions')
    .description('functions that can be called; with one match, its input as well')
    .argument('[search...]', 'words of its id, worker or description')
    .action(async (search: string[], _options: object, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>()
      const { api } = connect(command)
      const { functions } = await api.get<{ functions: FunctionRow[] }>('/v1/engine/functions')
      const exact = functions.filter((row) => row.id === search[0])
      const found = exact.length > 0 ? exact : matching(functions, search.join(' '))
      if (json) return printJson(found)
      if (found.length === 0) {
        throw new Refusal('not_found', 'No such function', `Nothing matches “${search.join(' ')}”.`, [
          'npm run agentos -- functions lists all of them.',
        ])
      }
      print(table(found.map((row) => [paint('cyan', visibleLine(row.id)), visibleLine(row.summary)])))
      if (found.length > 1) return
      for (const [label, schema] of [
        ['input', found[0]?.request_format],
        ['output', found[0]?.response_format],
      ] as const) {
        if (schema) print(`\n${paint('dim', label)}\n${jsonText(schema)}`)
      }
    })
}
