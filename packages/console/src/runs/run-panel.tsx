import { formatCost, formatMs, plural } from '../shared/format.ts'
import { JsonText } from '../shared/json-text.tsx'
import { ProblemNote } from '../shared/problem-note.tsx'
import { runHref } from '../shared/route.ts'
import { storyOf } from './journal.ts'
import { RunActions } from './run-actions.tsx'
import { RunQuestion } from './run-question.tsx'
import { isOver, type Run, useRun, useRunEvents } from './runs.ts'
import { StatusBadge } from './status-badge.tsx'
import { Handovers, StepList } from './step-list.tsx'

/** One run: where it stands, what it did, and what can be done with it. */
export function RunPanel({ id }: { id: string }) {
  const { events, problem: lost } = useRunEvents(id)
  const { steps, attempts, input, end } = storyOf(events)
  // The state changes when the run stands still, goes on or ends; what lies between shows in the steps.
  const turns = events.filter(({ type }) => TURNS.has(type)).length
  const { value: run, problem, reload } = useRun(id, [turns])
  if (!run) return problem ? <ProblemNote problem={problem} /> : <p class="dim">Loading…</p>
  return (
    <>
      <h2>
        <code>{run.function}</code> <StatusBadge run={run} />
      </h2>
      <Origin run={run} />
      <Facts run={run} recorded={steps.filter(({ endedAt }) => endedAt !== undefined).length} />
      <RunQuestion run={run} onAnswer={reload} />
      <RunActions run={run} onDone={reload} />
      {problem && <ProblemNote problem={problem} />}
      {lost && !isOver(run) && <ProblemNote problem={lost} />}
      <h3>Steps</h3>
      <StepList steps={steps} named={attempts.length > 1} />
      <Handovers attempts={attempts} />
      {input !== undefined && <Value title="Input" value={input} />}
      {end?.result !== undefined && <Value title="Result" value={end.result} />}
      {end?.error && (
        <p class="field-problem">
          {end.error.code}: {end.error.message}
        </p>
      )}
    </>
  )
}

const TURNS = new Set(['attempt', 'waiting', 'signal', 'parked', 'resumed', 'reopened', 'finished'])

function Origin({ run: { id, replayOf, forkOf } }: { run: Run }) {
  return (
    <p class="dim origin">
      <code>{id}</code>
      {replayOf && (
        <>
          {' · replay of '}
          <a href={runHref(replayOf)}>{replayOf}</a>
        </>
      )}
      {forkOf && (
        <>
          {` · fork before step ${forkOf.step} of `}
          <a href={runHref(forkOf.run)}>{forkOf.run}</a>
        </>
      )}
    </p>
  )
}

/** `recorded`: steps as the events tell them, which are ahead of the state that was loaded. */
function Facts({ run, recorded }: { run: Run; recorded: number }) {
  const { createdAt, finishedAt, attempts, steps, costMicroUsd, usage, code } = run
  return (
    <p class="totals">
      <strong>{formatMs((finishedAt ?? Date.now()) - createdAt)}</strong>
      <span>{plural(Math.max(steps, recorded), 'step')}</span>
      <span>{plural(usage.total ?? 0, 'token')}</span>
      <span>{formatCost(costMicroUsd)}</span>
      <span>{plural(attempts, 'attempt')}</span>
      {code.version && (
        <span>
          {code.worker} {code.version}
        </span>
      )}
    </p>
  )
}

function Value({ title, value }: { title: string; value: unknown }) {
  return (
    <details>
      <summary>{title}</summary>
      <JsonText value={value} />
    </details>
  )
}
