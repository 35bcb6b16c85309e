import type { budgets, reservations } from '@agentos/contracts/ledger'
import type { OutputOf } from '@agentos/sdk/contract'
import { useRef } from 'preact/hooks'
import { useAction } from '../shared/action.ts'
import { get, request } from '../shared/api.ts'
import { formatCost } from '../shared/format.ts'
import { usePolled } from '../shared/polled.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import { useSession } from '../shared/session.ts'

type BudgetList = OutputOf<typeof budgets>
type Budget = BudgetList['budgets'][number]
type ReservationList = OutputOf<typeof reservations>

const EVERY_MS = 2_000

/** What may be spent, what is, and what is held for calls under way. */
export function BudgetsView() {
  const { owner, ask } = useSession()
  const list = usePolled((signal) => get<BudgetList>('/v1/budgets', { signal }), [], EVERY_MS)
  const held = usePolled((signal) => get<ReservationList>('/v1/budgets/reservations', { signal }), [], EVERY_MS)
  const maybe = held.value?.maybeCharged ?? []
  return (
    <main class="models">
      {list.problem && <ProblemNote problem={list.problem} />}
      {!owner && (
        <p class="note">
          You are a guest here. Budgets are the owner's:{' '}
          <button type="button" class="link" onClick={() => ask(true)}>
            enter the one-time code
          </button>{' '}
          to set one.
        </p>
      )}
      <section aria-label="Budgets">
        <h2>Budgets</h2>
        <p class="dim">
          Money is reserved before each model call and settled after it. A call that does not fit is refused, and an
          answer is cut where the money ends.
        </p>
        {list.value?.budgets.length === 0 && <p class="dim">No budget is set: nothing limits what models cost.</p>}
        <ul class="cards">
          {list.value?.budgets.map((budget) => (
            <BudgetCard key={budget.id} budget={budget} onChange={list.reload} />
          ))}
        </ul>
      </section>
      <NewBudget onChange={list.reload} />
      {maybe.length > 0 && (
        <section aria-label="Maybe charged">
          <h2>Maybe charged</h2>
          <p class="dim">Calls whose end nobody saw, such as after a crash: booked with all that was held for them.</p>
          <ul class="rows">
            {maybe.slice(0, 20).map(({ id, provider, model, microUsd, at }) => (
              <li key={id} class="row">
                <code>
                  {provider}/{model}
                </code>
                <span>{formatCost(microUsd)}</span>
                <span class="dim">{new Date(at).toLocaleString('en-GB')}</span>
              </li>
            ))}
          </ul>
        </section>
      )}
    </main>
  )
}

function BudgetCard({ budget, onChange }: { budget: Budget; onChange: () => void }) {
  const { owner } = useSession()
  const { busy, problem, perform } = useAction(onChange)
  const { limitMicroUsd: limit, spentMicroUsd: spent, reservedMicroUsd: reserved, unlimited } = budget
  const share = (part: number): string => `${limit > 0 ? Math.min(100, (100 * part) / limit) : 0}%`
  return (
    <li class="card" aria-label={`Budget of ${targetOf(budget)}`}>
      <header>
        <h3>{targetOf(budget)}</h3>
        <span class="badge">{budget.period === 'total' ? 'in all' : `per ${budget.period}`}</span>
        {budget.isDefault && <span class="badge">default</span>}
      </header>
      <p class="model-name">
        {formatCost(spent)} <span class="dim">of {unlimited ? 'no limit' : formatCost(limit)}</span>
      </p>
      <div class="meter" aria-hidden="true" data-over={budget.overdraft || (!unlimited && spent >= limit)}>
        <span class="spent" style={{ inlineSize: share(spent) }} />
        <span class="held" style={{ inlineSize: share(reserved) }} />
      </div>
      <p class="dim">
        {formatCost(reserved)} held for calls under way{budget.hardLimit ? '' : ' · the limit warns only'}
      </p>
      {budget.isDefault ? (
        <p class="dim">All guests together have this one until the owner sets a budget of the whole realm.</p>
      ) : (
        <p class="actions">
          <button
            type="button"
            class="link"
            disabled={!owner || busy !== ''}
            onClick={() =>
              perform('Removing…', () => request('DELETE', `/v1/budgets/${encodeURIComponent(budget.id)}`))
            }
          >
            Remove
          </button>
        </p>
      )}
      {problem && <ProblemNote problem={problem} />}
    </li>
  )
}

function targetOf({ agentId, sessionId, runId }: Budget): string {
  if (agentId) return `Agent ${agentId}`
  if (sessionId) return `Session ${sessionId}`
  return runId ? `Run ${runId}` : 'This realm'
}

function NewBudget({ onChange }: { onChange: () => void }) {
  const { owner } = useSession()
  const { busy, problem, perform } = useAction(onChange)
  const form = useRef<HTMLFormElement>(null)
  const save = (event: SubmitEvent): void => {
    event.preventDefault()
    const given = new FormData(form.current ?? undefined)
    const agentId = String(given.get('agent') ?? '').trim()
    const limitMicroUsd = Math.round(Number(given.get('dollars')) * 1_000_000)
    void perform('Saving…', () =>
      request('POST', '/v1/budgets', {
        limitMicroUsd,
        period: given.get('period'),
        ...(agentId === '' ? {} : { agentId }),
      }),
    )
  }
  return (
    <section aria-label="Set a budget">
      <h2>Set a budget</h2>
      <form ref={form} class="inline-form" onSubmit={save}>
        <label>
          Dollars
          <input name="dollars" type="number" min="0" step="0.000001" required placeholder="0.05" disabled={!owner} />
        </label>
        <label>
          Period
          <select name="period" disabled={!owner}>
            {['month', 'day', 'hour', 'total'].map((period) => (
              <option key={period}>{period}</option>
            ))}
          </select>
        </label>
        <label>
          Agent (empty: the whole realm)
          <input name="agent" placeholder="default" disabled={!owner} />
        </label>
        <button type="submit" class="primary" disabled={!owner || busy !== ''}>
          Set
        </button>
      </form>
      {problem && <ProblemNote problem={problem} />}
    </section>
  )
}
