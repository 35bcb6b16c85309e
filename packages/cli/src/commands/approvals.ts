import type { styleText } from 'node:util'
import { visibleLine, visibleText } from '@agentos/protocol'
import type { Command } from 'commander'
import { paint, print, printJson, table } from '../output.ts'
import { connect, type GlobalOptions } from './connect.ts'

interface Request {
  id: string
  agentId: string
  toolName: string
  effects: string
  params: unknown
  paramsCut: boolean
  inputHash: string
  status: string
  expiresAt: number
  decidedBy?: string
}

interface RealmOption {
  realm?: string
}

const STATUS_STYLE: Record<string, Parameters<typeof styleText>[0]> = { pending: 'yellow', approved: 'green' }

export function addApprovals(program: Command): void {
  const approvals = program
    .command('approvals')
    .description('what agents wait for; approve or deny it')
    .option('--all', 'those that are over too, a week back')
    .option('--realm <id>', 'of this realm instead of the default one')
    .action(async (options: RealmOption & { all?: boolean }, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>()
      const filter = options.all ? {} : { status: 'pending' }
      const requests = await connect().api.call<Request[]>('approval::list', filter, options.realm)
      if (json) return printJson(requests)
      if (requests.length === 0) return print(options.all ? 'No agent asked for anything.' : 'Nothing waits for you.')
      print(requests.map((request) => describe(request, Date.now())).join('\n\n'))
      if (requests.some(({ status }) => status === 'pending')) print('\nnpm run agentos -- approvals approve|deny <id>')
    })
  for (const [name, description] of [
    ['approve', 'let the agent make exactly this call, once'],
    ['deny', 'refuse it; a denial stands'],
  ] as const) {
    approvals
      .command(name)
      .description(description)
      .argument('<id>', 'as npm run agentos -- approvals shows it')
      .option('--reason <text>', 'kept with the decision; a denied agent is told')
      .option('--realm <id>', 'of this realm instead of the default one')
      .action(async (id: string, options: RealmOption & { reason?: string }, command: Command) => {
        const { json, realm } = command.optsWithGlobals<GlobalOptions & RealmOption>()
        const input = { requestId: id, decision: name, ...(options.reason ? { reason: options.reason } : {}) }
        const decided = await connect().api.call<{ requestId: string; status: string }>(
          'approval::decide',
          input,
          realm,
        )
        if (json) return printJson(decided)
        print(`${decided.requestId} is ${paint(STATUS_STYLE[decided.status] ?? 'red', decided.status)}.`)
      })
  }
}

/** One request as a person reads it. Everything that an agent wrote is shown in a form that moves no cursor. */
export function describe(request: Request, now: number): string {
  const { id, agentId, toolName, effects, status, expiresAt, decidedBy, inputHash, paramsCut } = request
  const left = Math.max(0, Math.round((expiresAt - now) / 1_000))
  const decider = decidedBy && visibleLine(decidedBy)
  const state = status === 'pending' ? `pending, ${left} s left` : decider ? `${status} by ${decider}` : status
  const rows = [
    ['agent', visibleLine(agentId)],
    ['function', `${visibleLine(toolName)} (${effects})`],
    ['status', paint(STATUS_STYLE[status] ?? 'dim', state)],
    ['input', visibleText(JSON.stringify(request.params) ?? 'null')],
    ...(paramsCut ? [['', `not all of it is shown; sha256 of the whole: ${inputHash}`]] : []),
  ]
  return `${paint('bold', visibleLine(id))}\n${table(rows, '  ')}`
}
