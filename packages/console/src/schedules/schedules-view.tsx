import { useRef } from 'preact/hooks'
import { formatMs, formatWhen } from '../shared/format.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import { firingHref } from '../shared/route.ts'
import { TraceView } from '../trace/trace-view.tsx'
import { useFirings } from './firings.ts'

/** What schedules did, which nobody asked for: each firing with the trace of what it took. */
export function SchedulesView({ traceId }: { traceId?: string }) {
  const { value: firings, problem } = useFirings()
  // The newest, and still that one when there are newer ones: what is read does not change by itself.
  const first = useRef<string | undefined>(undefined)
  first.current ??= firings?.[0]?.trace_id
  const shown = traceId ?? first.current
  return (
    <main class="functions runs" data-chosen={traceId !== undefined}>
      <nav class="directory" aria-label="Schedules">
        {problem && <ProblemNote problem={problem} />}
        {firings?.length === 0 && <p class="dim">No schedule has fired in the last days.</p>}
        <ul class="run-list">
          {firings?.map(({ trace_id, name, status, start_time_unix_nano: from, end_time_unix_nano: to }) => (
            <li key={trace_id}>
              <a href={firingHref(trace_id)} aria-current={trace_id === shown}>
                <code>{name}</code>
                <span class="badge" data-status={status === 'error' ? 'failed' : 'done'}>
                  {status === 'error' ? 'failed' : 'done'}
                </span>
                <span class="dim">
                  {formatWhen(from / 1e6)} · {formatMs((to - from) / 1e6)}
                </span>
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <section class="panel" aria-label="Firing">
        {traceId && (
          <p class="back">
            <a href="#schedules">All firings</a>
          </p>
        )}
        {shown ? (
          <TraceView key={shown} source={{ traceId: shown }} running={false} />
        ) : (
          <p class="dim">Choose a firing.</p>
        )}
      </section>
    </main>
  )
}
