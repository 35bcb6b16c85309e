import type { Problem } from './problem.ts'
import { useSession } from './session.ts'

/** What went wrong, and what to do next; where a code would help, it asks for one. */
export function ProblemNote({ problem }: { problem: Problem }) {
  const { owner, ask } = useSession()
  const wantsOwner = !owner && (problem.code === 'forbidden' || problem.code === 'unauthorized')
  return (
    <div class="problem" role="alert">
      <p>
        <strong>{problem.title}</strong> {problem.detail === problem.title ? '' : problem.detail}
      </p>
      {problem.next && <p class="dim">{problem.next}</p>}
      <p class="dim">
        <code>{problem.code}</code>
        {problem.trace_id && (
          <>
            {' · trace '}
            <code>{problem.trace_id}</code>
          </>
        )}
      </p>
      {wantsOwner && (
        <button type="button" onClick={() => ask(true)}>
          Enter the one-time code
        </button>
      )}
    </div>
  )
}
