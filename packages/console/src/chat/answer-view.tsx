import { formatCost, formatMs, plural } from '../shared/format.ts'
import { MarkdownText } from '../shared/markdown-text.tsx'
import { ProblemNote } from '../shared/problem-note.tsx'
import { runHref } from '../shared/route.ts'
import type { Answer, ChatResult, FunctionUse, Piece, Wait } from './answer.ts'

interface AnswerViewProps {
  answer: Answer
  /** Its trace is the one that is shown. */
  traced: boolean
  onTrace: () => void
}

export function AnswerView({ answer, traced, onTrace }: AnswerViewProps) {
  const { status, pieces, problem, trace, waitsFor, runId, agentId, agentCreated } = answer
  return (
    <article class="answer" aria-busy={status === 'running'}>
      {pieces.map((piece, index) => (
        <PieceView key={index} piece={piece} />
      ))}
      {status === 'running' && <span class="cursor" role="status" aria-label="The answer is being made" />}
      {status === 'stopped' && <p class="dim">Stopped.</p>}
      {waitsFor && <WaitNote wait={waitsFor} runId={runId} />}
      {agentCreated && (
        <p class="note" role="status">
          A new agent was made: <code>{agentId}</code>
        </p>
      )}
      {answer.result?.budget && (
        <p class="note" role="status">
          <code>budget_exceeded</code> {answer.result.budget.message}. <a href="#budgets">Raise it</a>
        </p>
      )}
      {problem && <ProblemNote problem={problem} />}
      {status !== 'running' && (
        <footer>
          {answer.result && <span>{footerLine(answer.result)}</span>}
          {runId !== undefined && <a href={runHref(runId)}>Run</a>}
          {trace && (
            <button type="button" class="link" aria-pressed={traced} onClick={onTrace}>
              Trace
            </button>
          )}
        </footer>
      )}
    </article>
  )
}

/** Why there is no answer yet, and who can change that. It comes by itself once that is decided. */
function WaitNote({ wait: { functionId, for: cause }, runId }: { wait: Wait; runId: string | undefined }) {
  const what = functionId ? <code>{functionId}</code> : 'A step'
  return (
    <p class="note" role="status">
      {cause === 'approval' && (
        <>
          {what} waits for your approval. <a href="#approvals">Decide it</a>, and the answer goes on.
        </>
      )}
      {cause === 'doubt' && (
        <>
          Nobody knows whether {what} took effect. {runId && <a href={runHref(runId)}>Say how to go on</a>}
        </>
      )}
      {cause === 'signal' && <>{what} waits, and the answer with it.</>}
    </p>
  )
}

function PieceView({ piece }: { piece: Piece }) {
  switch (piece.kind) {
    case 'text':
      return <MarkdownText source={piece.text} />
    case 'reasoning':
      return (
        <details class="reasoning">
          <summary>Thoughts</summary>
          <p>{piece.text}</p>
        </details>
      )
    case 'call':
      return <FunctionUseView use={piece} />
  }
}

function FunctionUseView({ use: { id, outcome, arguments: given } }: { use: FunctionUse }) {
  const state = outcome === undefined ? 'running' : outcome.ok ? 'ok' : 'failed'
  return (
    <details class="function-use" data-state={state}>
      <summary>
        <code>{id}</code>
        <span class="dim">
          {outcome === undefined ? 'runs…' : outcome.ok ? 'done' : (outcome.error?.code ?? 'failed')}
          {outcome?.durationMs === undefined ? '' : ` · ${formatMs(outcome.durationMs)}`}
        </span>
      </summary>
      <pre>{JSON.stringify(given, null, 2)}</pre>
      {outcome?.error && <p class="field-problem">{outcome.error.message}</p>}
    </details>
  )
}

const STOP_REASONS: Record<string, string> = {
  length: 'cut off at the longest answer',
  budget_exceeded: 'cut off at the end of its budget',
  content_filter: "stopped by the provider's filter",
  interrupted: 'broken off by the provider',
  other: 'stopped for a reason that is not known',
  max_rounds: 'stopped after the most rounds allowed',
  max_tokens: 'stopped at the most tokens allowed',
  timeout: 'stopped at its time limit',
}

function footerLine({ model, usage, cost, durationMs, stopReason }: ChatResult): string {
  return [
    model,
    usage && plural(usage.total, 'token'),
    cost.microUsd === null ? 'price unknown' : formatCost(cost.microUsd),
    formatMs(durationMs),
    STOP_REASONS[stopReason],
  ]
    .filter(Boolean)
    .join(' · ')
}
