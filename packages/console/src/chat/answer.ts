import type { chat, ToolCallReport } from '@agentos/contracts/agent-core'
import type { OutputOf } from '@agentos/sdk/contract'
import type { JournalEvent } from '../runs/journal.ts'
import type { ServerEvent } from '../shared/events.ts'
import { isProblem, type Problem } from '../shared/problem.ts'
import type { TraceSource } from '../trace/trace.ts'

/** What `agent::chat` answers at the end. */
export type ChatResult = OutputOf<typeof chat>

export interface FunctionUse {
  kind: 'call'
  callId: string
  id: string
  arguments: Record<string, unknown>
  /** Absent while it runs. */
  outcome?: { ok: boolean; durationMs?: number; error?: { code: string; message: string } }
}

/** Parts of an answer in the order in which they came. */
export type Piece = { kind: 'text'; text: string } | { kind: 'reasoning'; text: string } | FunctionUse

export interface Wait {
  /** Function whose call waits; absent until the run has told it. */
  functionId?: string
  /** It waits for an approval, or for word of a call that nobody knows the end of. */
  for: 'approval' | 'doubt' | 'signal'
}

export interface Answer {
  role: 'assistant'
  /**
   * `ended` for one read from a transcript: what it cost is not kept there. `waiting`: its run stands still until somebody
   * decides.
   */
  status: 'running' | 'waiting' | 'done' | 'stopped' | 'failed' | 'ended'
  pieces: Piece[]
  /** What a waiting one waits for. */
  waitsFor?: Wait
  runId?: string
  sessionId?: string
  agentId?: string
  /** The agent is there since this chat. */
  agentCreated?: boolean
  /** Where the trace of the request that made it is found. */
  trace?: TraceSource
  result?: ChatResult
  problem?: Problem
}

export const newAnswer = (): Answer => ({ role: 'assistant', status: 'running', pieces: [] })

/** The answer after one more event of its stream; an event that is not known changes nothing. */
export function applyEvent(answer: Answer, { event, data }: ServerEvent): Answer {
  switch (event) {
    case 'session': {
      const { sessionId, runId, agentId } = data as { sessionId: string; runId: string; agentId: string }
      return { ...answer, sessionId, runId, agentId }
    }
    case 'text':
    case 'reasoning':
      return { ...answer, pieces: extended(answer.pieces, event, (data as { text: string }).text) }
    case 'toolCall': {
      const { callId, id, arguments: given } = data as Omit<FunctionUse, 'kind'>
      return { ...answer, pieces: [...answer.pieces, { kind: 'call', callId, id, arguments: given }] }
    }
    case 'toolResult': {
      const { callId, ok, durationMs, error } = data as ToolCallReport
      const outcome = { ok, durationMs, ...(error ? { error } : {}) }
      return { ...answer, pieces: settled(answer.pieces, callId, outcome) }
    }
    case 'restart':
      return { ...answer, pieces: answer.pieces.slice(0, settledEnd(answer.pieces)) }
    case 'done':
      return finished(answer, data as ChatResult)
    case 'error':
      return isProblem(data) ? failed(answer, data) : answer
    default:
      return answer
  }
}

/** What came before the model's present answer: up to the last function that has answered. */
const settledEnd = (pieces: Piece[]): number =>
  1 + pieces.findLastIndex((piece) => piece.kind === 'call' && piece.outcome !== undefined)

export const failed = (answer: Answer, problem: Problem): Answer => ({
  ...answer,
  ...newAgentIn(problem.details),
  status: 'failed',
  problem,
})

/** What a result, or the facts of a failure, say of an agent that is there since. */
function newAgentIn(facts: unknown): Pick<Answer, 'agentCreated'> {
  return (facts as ChatResult | null | undefined)?.agentCreated ? { agentCreated: true } : {}
}

/** Text of a stream grows its last part; another kind in between begins a new one. */
function extended(pieces: Piece[], kind: 'text' | 'reasoning', text: string): Piece[] {
  const last = pieces.at(-1)
  if (last?.kind === kind) return [...pieces.slice(0, -1), { kind, text: last.text + text }]
  return text === '' ? pieces : [...pieces, { kind, text }]
}

export function settled(pieces: Piece[], callId: string, outcome: FunctionUse['outcome'] & object): Piece[] {
  return pieces.map((piece) => (piece.kind === 'call' && piece.callId === callId ? { ...piece, outcome } : piece))
}

/**
 * The answer of a chat that has ended, or stands still: then the result only says so, and the answer is still to come. A
 * model that does not stream says everything at the end.
 */
function finished(answer: Answer, result: ChatResult): Answer {
  const { runId, sessionId, agentId, content, stopReason } = result
  const told = { ...answer, ...newAgentIn(result), runId, sessionId, agentId }
  if (stopReason === 'waiting') return { ...told, status: 'waiting', waitsFor: { for: 'approval' } }
  const spoke = answer.pieces.some((piece) => piece.kind === 'text')
  const pieces = spoke ? answer.pieces : extended(answer.pieces, 'text', content)
  return { ...told, status: 'done', pieces, result }
}

/** A waiting answer after one more event of its run, which goes on without the stream that it began with. */
export function applyRunEvent(answer: Answer, { type, call, signal, reason, result, error }: JournalEvent): Answer {
  const { waitsFor: _over, ...going } = answer
  const named = call ? { functionId: call.name } : {}
  switch (type) {
    case 'waiting':
      return {
        ...going,
        status: 'waiting',
        waitsFor: { ...named, for: signal?.startsWith('approval:') ? 'approval' : 'signal' },
      }
    case 'parked':
      return reason === 'in_doubt' ? { ...going, status: 'waiting', waitsFor: { ...named, for: 'doubt' } } : answer
    case 'signal':
    case 'resumed':
      return { ...going, status: 'running' }
    case 'finished':
      if (!error) return continued(going, result as ChatResult)
      return error.code === 'cancelled'
        ? { ...going, status: 'stopped' }
        : failed(going, {
            title: 'The answer failed.',
            detail: error.message,
            code: error.code,
            details: error.details,
          })
    default:
      return answer
  }
}

/** The end of an answer that waited: what it used meanwhile, and its last words. */
function continued(answer: Answer, result: ChatResult): Answer {
  const shown = new Set(answer.pieces.map((piece) => (piece.kind === 'call' ? piece.callId : '')))
  let pieces = answer.pieces
  for (const { callId, id, arguments: given, ok, durationMs, error } of result.toolCalls) {
    if (!shown.has(callId)) pieces = [...pieces, { kind: 'call', callId, id, arguments: given }]
    pieces = settled(pieces, callId, { ok, durationMs, ...(error ? { error } : {}) })
  }
  const { runId, sessionId, agentId, content } = result
  const ended = { ...answer, ...newAgentIn(result), runId, sessionId, agentId }
  return { ...ended, status: 'done', pieces: extended(pieces, 'text', content), result }
}
