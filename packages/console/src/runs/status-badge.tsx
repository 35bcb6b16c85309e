import type { Run } from './runs.ts'

export function StatusBadge({ run: { status, reason, replayOf, forkOf } }: { run: Run }) {
  const kind = replayOf ? 'replay, ' : forkOf ? 'fork, ' : ''
  // Why one was cancelled stands in its error.
  const why = reason === undefined || reason === status ? '' : ` (${reason.replaceAll('_', ' ')})`
  return (
    <span class="badge" data-status={status}>
      {kind}
      {status}
      {why}
    </span>
  )
}
