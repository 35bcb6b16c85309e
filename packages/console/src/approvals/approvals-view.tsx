import type { Request } from '@agentos/contracts/approval'
import { useAction } from '../shared/action.ts'
import { request } from '../shared/api.ts'
import { formatMs, formatWhen } from '../shared/format.ts'
import { JsonText } from '../shared/json-text.tsx'
import { ProblemNote } from '../shared/problem-note.tsx'
import type { Resource } from '../shared/resource.ts'
import { runHref } from '../shared/route.ts'
import { useSession } from '../shared/session.ts'
import { pendingOf } from './approvals.ts'

/** What agents want to do and may not without a person's word. */
export function ApprovalsView({ approvals }: { approvals: Resource<Request[]> }) {
  const { owner, ask } = useSession()
  const { value, problem, reload } = approvals
  const pending = pendingOf(value)
  const decided = value?.filter(({ status }) => status !== 'pending') ?? []
  if (!owner) {
    return (
      <main class="models">
        <p class="note">
          You are a guest here. What agents ask for is seen and decided by the owner:{' '}
          <button type="button" class="link" onClick={() => ask(true)}>
            enter the one-time code
          </button>
          .
        </p>
      </main>
    )
  }
  return (
    <main class="models">
      {problem && <ProblemNote problem={problem} />}
      <section aria-label="Waiting for you">
        <h2>Waiting for you</h2>
        {value && pending.length === 0 && <p class="dim">Nothing waits for an approval.</p>}
        <ul class="rows">
          {pending.map((entry) => (
            <Pending key={entry.id} entry={entry} onDecided={reload} />
          ))}
        </ul>
      </section>
      {decided.length > 0 && (
        <section aria-label="Decided">
          <h2>Decided</h2>
          <ul class="rows decided">
            {decided.slice(0, 50).map((entry) => (
              <Decided key={entry.id} entry={entry} />
            ))}
          </ul>
        </section>
      )}
    </main>
  )
}

function Pending({ entry, onDecided }: { entry: Request; onDecided: () => void }) {
  const { busy, problem, perform } = useAction(onDecided)
  const { id, agentId, toolName, effects, reason, params, paramsCut, expiresAt, runId } = entry
  const decide = (decision: 'approve' | 'deny'): void =>
    void perform('Deciding…', () => request('POST', '/v1/approvals/decide', { requestId: id, agentId, decision }))
  return (
    <li class="card" aria-label={`${toolName} for ${agentId}`}>
      <header>
        <h3>
          <code>{toolName}</code>
        </h3>
        <span class="badges">
          <span class="badge" data-effects={effects}>
            {effects}
          </span>
          <span class="badge">expires in {formatMs(Math.max(0, expiresAt - Date.now()))}</span>
        </span>
      </header>
      <p>{reason}</p>
      <JsonText value={params} />
      {paramsCut && (
        <p class="dim">Secrets and what is too long are left out here; the approval is for exactly this input.</p>
      )}
      <p class="actions">
        <button type="button" class="primary" disabled={busy !== ''} onClick={() => decide('approve')}>
          Approve once
        </button>
        <button type="button" disabled={busy !== ''} onClick={() => decide('deny')}>
          Deny
        </button>
        {runId && <a href={runHref(runId)}>The run that waits</a>}
      </p>
      {problem && <ProblemNote problem={problem} />}
    </li>
  )
}

function Decided({ entry }: { entry: Request }) {
  const { toolName, agentId, status, decidedAt, decidedBy, expiresAt, runId } = entry
  return (
    <li class="row" data-status={status}>
      <code>{toolName}</code>
      <span class="badge">{wordOf(entry)}</span>
      <span class="dim">
        {agentId}, {formatWhen(decidedAt ?? expiresAt)}
        {decidedBy && ` by ${decidedBy.replace(/^owner:owner$/, 'the owner')}`}
      </span>
      {runId && (
        <a class="dim" href={runHref(runId)}>
          its run
        </a>
      )}
    </li>
  )
}

function wordOf({ status, usedAt, decidedAt }: Request): string {
  if (status === 'timed_out') return decidedAt === undefined ? 'nobody decided in time' : 'approved, not used in time'
  return status === 'approved' && usedAt !== undefined ? 'approved and used' : status
}
