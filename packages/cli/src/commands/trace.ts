import { visibleLine } from '@agentos/protocol'
import type { Command } from 'commander'
import { paint, print, printJson, table } from '../output.ts'
import { Refusal } from '../refusal.ts'
import { attributesOf, drawTrace, durationMs, type TraceSpan } from '../trace-tree.ts'
import { connect, type GlobalOptions } from './connect.ts'

export function addTrace(program: Command): void {
  program
    .command('trace')
    .description('what happened under one trace id, as a tree with milliseconds, tokens and cost')
    .argument('<id>', '32 hex digits, as lists and answers show it')
    .action(async (id: string, _options: object, command: Command) => {
      const { api } = connect(command)
      const trace = await api.get<{ roots: TraceSpan[] }>(`/v1/traces/${encodeURIComponent(id)}`)
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson(trace)
      if (trace.roots.length === 0) {
        throw new Refusal('not_found', 'No such trace', `Nothing is recorded under ${id}.`, [
          'npm run agentos -- traces lists the last ones.',
        ])
      }
      print(drawTrace(trace.roots, paint))
    })
  program
    .command('traces')
    .description('the last traces, newest first')
    .option('--limit <n>', 'how many', '20')
    .action(async (options: { limit: string }, command: Command) => {
      const { api } = connect(command)
      const list = await api.get<{ spans: TraceSpan[]; total: number }>('/v1/traces', {
        limit: options.limit,
        sort_by: 'start_time',
        sort_order: 'desc',
      })
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson(list)
      print(table(list.spans.map(row)))
    })
}

const row = (span: TraceSpan): string[] => [
  paint(
    'dim',
    new Date(Number(BigInt(span.start_time_unix_nano) / 1_000_000n)).toISOString().replace('T', ' ').slice(0, 19),
  ),
  paint('cyan', span.trace_id),
  `${durationMs(span).toFixed(1)} ms`,
  span.status === 'error' ? paint('red', 'error') : span.status,
  visibleLine(span.name),
  // `cron`, where nobody called.
  visibleLine(String(attributesOf(span).get('trigger') ?? '')),
]
