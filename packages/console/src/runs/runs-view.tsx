import { useRef } from 'preact/hooks'
import { formatCost, formatWhen, plural } from '../shared/format.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import { runHref } from '../shared/route.ts'
import { RunPanel } from './run-panel.tsx'
import { useRuns } from './runs.ts'
import { StatusBadge } from './status-badge.tsx'

/** Runs that survive their processes: what they did, what they cost, what they wait for. */
export function RunsView({ runId }: { runId?: string }) {
  const { value: runs, problem } = useRuns()
  // The newest, and still that one when there are newer ones: what is read does not change by itself.
  const first = useRef<string | undefined>(undefined)
  first.current ??= runs?.[0]?.id
  const shown = runId ?? first.current
  return (
    <main class="functions runs" data-chosen={runId !== undefined}>
      <nav class="directory" aria-label="Runs">
        {problem && <ProblemNote problem={problem} />}
        {runs?.length === 0 && <p class="dim">No run yet: ask something in the chat.</p>}
        <ul class="run-list">
          {runs?.map((run) => (
            <li key={run.id}>
              <a href={runHref(run.id)} aria-current={run.id === shown}>
                <code>{run.function}</code>
                <StatusBadge run={run} />
                <span class="dim">
                  {formatWhen(run.createdAt)} · {plural(run.steps, 'step')} · {formatCost(run.costMicroUsd)}
                  {run.attempts > 1 && ` · ${plural(run.attempts, 'attempt')}`}
                </span>
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <section class="panel" aria-label="Run">
        {runId && (
          <p class="back">
            <a href="#runs">All runs</a>
          </p>
        )}
        {shown ? <RunPanel key={shown} id={shown} /> : <p class="dim">Choose a run.</p>}
      </section>
    </main>
  )
}
