import { useState } from 'preact/hooks'
import { useAction } from '../shared/action.ts'
import { request } from '../shared/api.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import { useSession } from '../shared/session.ts'
import { replayText } from './replay.ts'
import { isOver, type ReplayReport, type Run, runPath } from './runs.ts'

/** What can be done with a run: while it is open, end it or its process; when it is over, replay it. */
export function RunActions({ run, onDone }: { run: Run; onDone: () => void }) {
  const { owner } = useSession()
  const { busy, problem, perform } = useAction(onDone)
  const [report, setReport] = useState<ReplayReport>()
  const { id, status, worker, replayOf } = run
  const replay = async (): Promise<void> => {
    setReport(undefined)
    setReport((await request<ReplayReport>('POST', `${runPath(id)}/replay`, {})).body)
  }
  return (
    <>
      <p class="actions">
        {isOver(run) && replayOf === undefined && (
          <button
            type="button"
            disabled={!owner || busy !== ''}
            title={owner ? 'Runs the handler against the journal; nothing is executed' : 'For the owner'}
            onClick={() => void perform('Replaying…', replay)}
          >
            Replay
          </button>
        )}
        {!isOver(run) && (
          <button
            type="button"
            disabled={busy !== ''}
            onClick={() => void perform('Cancelling…', () => request('POST', `${runPath(id)}/cancel`, {}))}
          >
            Cancel
          </button>
        )}
        {status === 'running' && worker && (
          <button
            type="button"
            class="danger"
            disabled={!owner || busy !== ''}
            title={
              owner ? 'Ends its process at once, as a crash would; the run goes on in the next one' : 'For the owner'
            }
            onClick={() =>
              void perform('Killing…', () => request('POST', `/v1/workers/${encodeURIComponent(worker)}/kill`, {}))
            }
          >
            Kill {worker}
          </button>
        )}
        {busy !== '' && (
          <span class="dim" role="status">
            {busy}
          </span>
        )}
      </p>
      {report && (
        <p class={report.ok ? 'good' : 'field-problem'} role="status">
          {replayText(report)}
        </p>
      )}
      {problem && <ProblemNote problem={problem} />}
    </>
  )
}
