import type { chat } from '@agentos/contracts/agent-core'
import { list as listApprovals } from '@agentos/contracts/approval'
import { type Caller, InvocationError, type OutputOf, redactText, visibleLine, visibleText } from '@agentos/sdk'
import type { Role } from './access.ts'
import type { Button } from './outbox-entry.ts'
import type { Answer } from './turns.ts'
import { failureWords, words } from './words.ts'

const MAX_REASON = 300
/** Characters of an input that a question shows. */
const MAX_INPUT = 1_500
/** Several pages of a session's runs: more than it ever has open. */
const LISTED = 50
const OPEN = ['running', 'waiting', 'parked']

type RunStatus = 'running' | 'waiting' | 'parked' | 'done' | 'failed' | 'cancelled'

/** A chat's run as `engine::runs::result` tells it. */
export interface RunLook {
  runId: string
  status: RunStatus
  /** Why it stands still: `approval`, `in_doubt`, `signal`, `diverged`. */
  reason?: string
  question?: { step?: string; function?: string; signal?: string }
  result?: OutputOf<typeof chat>
  error?: { code: string; message: string }
}

/** How a run is, at its end or `waitMs` from now. Throws `not_found` for one that is kept no longer. */
export function lookAt(caller: Caller, runId: string, waitMs: number): Promise<RunLook> {
  return caller.trigger<RunLook>({ function_id: 'engine::runs::result', payload: { runId, waitMs } })
}

export function isOver({ status }: RunLook): boolean {
  return !OPEN.includes(status)
}

/** What tells one question of a run from the next; empty where it asks nothing. */
export function questionKey({ status, reason, question }: RunLook): string {
  if (status !== 'waiting' && status !== 'parked') return ''
  return question?.signal ?? `${reason}:${question?.step}`
}

/** What is said at the end of a run. */
export function endOf({ status, result, error }: RunLook): Answer {
  if (status === 'done') return { markdown: result?.content.trim() ? result.content : words.noAnswer }
  if (status === 'cancelled') return { markdown: words.stoppedHere }
  return {
    markdown: error?.code === 'in_doubt' ? words.interrupted : failureWords(shortened(error?.message ?? status)),
  }
}

/** Asks a person what a run waits for: owners with buttons, others with words. */
export async function questionOf(caller: Caller, run: RunLook, asker: Role): Promise<Answer> {
  const { runId, reason, question } = run
  const requestId = approvalIn(run)
  if (requestId !== undefined) {
    const what = await whatFor(caller, requestId, question?.function ?? 'something')
    if (asker === 'owner') return { markdown: `${words.waitsForYou}\n\n${what}`, buttons: approvalButtons(requestId) }
    return { markdown: words.waitsForOwner }
  }
  if (reason === 'in_doubt') return { markdown: doubtWords(runId, question?.step, question?.function) }
  return { markdown: words.goesOn }
}

/** The request for approval that a run waits for. */
export function approvalIn({ status, question }: RunLook): string | undefined {
  const found = /^approval:(.+)$/.exec((status === 'waiting' && question?.signal) || '')
  return found?.[1]
}

export function approvalButtons(requestId: string): Button[] {
  return [
    { label: 'Approve', action: { kind: 'decide', requestId, decision: 'approve' } },
    { label: 'Deny', action: { kind: 'decide', requestId, decision: 'deny' } },
  ]
}

/** The call that is to be approved, as the approval worker shows it: without secrets. */
export async function whatFor(caller: Caller, requestId: string, functionId: string): Promise<string> {
  const request = await findRequest(caller, requestId)
  if (!request) return `\`${nameOf(functionId)}\``
  const input = visibleText(JSON.stringify(request.params, null, 2) ?? '')
  const isCut = request.paramsCut || input.length > MAX_INPUT
  // In JSON no line begins with a backtick: nothing in the input ends the block.
  const shown = `\`\`\`json\n${input.slice(0, MAX_INPUT)}\n\`\`\``
  return `Agent ${nameOf(request.agentId)}: \`${nameOf(request.toolName)}\`\n\n${shown}${isCut ? `\n\n${words.inputCut}` : ''}`
}

/** A name that ends neither its line nor the code that it stands in. */
function nameOf(id: string): string {
  return visibleLine(id).replaceAll('`', '\\u0060')
}

async function findRequest(caller: Caller, requestId: string) {
  try {
    const pending = await caller.call(listApprovals, { status: 'pending' })
    return pending.find(({ id }) => id === requestId)
  } catch (error) {
    caller.log.warn({ err: error, requestId }, 'what is to be approved could not be read')
    return undefined
  }
}

/** Ends what is under way in a session, what waits for somebody too. */
export async function cancelRunsOf(caller: Caller, session: string): Promise<void> {
  const { runs } = await caller.trigger<{ runs: { id: string; status: RunStatus }[] }>({
    function_id: 'engine::runs::list',
    payload: { function: 'agent::chat', session, limit: LISTED },
  })
  for (const { id: runId } of runs.filter(({ status }) => OPEN.includes(status))) {
    try {
      await caller.trigger({ function_id: 'engine::runs::cancel', payload: { runId, reason: words.stopReason } })
    } catch (error) {
      // It ended by itself meanwhile.
      if (!(error instanceof InvocationError && error.code === 'conflict')) throw error
    }
  }
}

/** A reason to be shown to people: without secrets, and not too long. */
export function shortened(reason: string): string {
  const text = visibleText(redactText(reason))
  return text.length <= MAX_REASON ? text : `${text.slice(0, MAX_REASON)}…`
}

function doubtWords(runId: string, step: string | undefined, functionId: string | undefined): string {
  const answer = visibleText(JSON.stringify({ runId, step, answer: 'done' }))
  return `${words.inDoubt(nameOf(functionId ?? 'a call'))}\n\`npm run agentos -- call engine::runs::resume '${answer}'\``
}
