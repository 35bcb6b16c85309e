import type { styleText } from 'node:util'
import { visibleLine, visibleText } from '@agentos/protocol'
import type { Command } from 'commander'
import type { Api } from '../api.ts'
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

const STATUS_STYLE: Record<string, Parameters<typeof styleText>[0]> = { pending: 'yellow', approved: 'green' }

export function addApprovals(program: Command): void {
  const approvals = program
    .command('approvals')
    .description('what agents wait for; approve or deny it')
    .option('--all', 'those that are over too, a week back')
    .action(async (options: { all?: boolean }, command: Command) => {
      const { json } = command.optsWithGlobals<GlobalOptions>()
      const filter = options.all ? {} : { status: 'pending' }
      const { api } = connect(command)
      const requests = await api.call<Request[]>('approval::list', filter)
      if (json) return printJson(requests)
      const elsewhere = api.realm === undefined ? await waitingForGuests(api) : 0
      if (elsewhere > 0) print(`${guestsNote(elsewhere)}\n`)
      if (requests.length === 0) return print(options.all ? 'No agent asked for anything.' : 'Nothing waits for you.')
      print(requests.map((request) => describe(request, Date.now())).join('\n\n'))
      if (requests.some(({ status }) => status === 'pending')) {
        print(
          `\nnpm run agentos -- approvals approve|deny <id>${api.realm === undefined ? '' : ` --realm ${visibleLine(api.realm)}`}`,
        )
      }
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
      .action(async (id: string, options: { reason?: string }, command: Command) => {
        const { json } = command.optsWithGlobals<GlobalOptions>()
        const input = { requestId: id, decision: name, ...(options.reason ? { reason: options.reason } : {}) }
        const decided = await connect(command).api.call<{ requestId: string; status: string }>(
          'approval::decide',
          input,
        )
        if (json) return printJson(decided)
        print(`${decided.requestId} is ${paint(STATUS_STYLE[decided.status] ?? 'red', decided.status)}.`)
      })
  }
}

/** How many approvals agents of guests wait for. */
export async function waitingForGuests(api: Api): Promise<number> {
  return (await api.within('guest').call<Request[]>('approval::list', { status: 'pending' })).length
}

/** Who followed the README without a token finds here what waits for the owner. */
export function guestsNote(waiting: number): string {
  const [what, them] = waiting === 1 ? ['1 call waits', 'it'] : [`${waiting} calls wait`, 'them']
  return `${what} in the realm of guests; npm run agentos -- approvals --realm guest shows ${them}`
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
