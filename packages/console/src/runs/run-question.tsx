import { useAction } from '../shared/action.ts'
import { request } from '../shared/api.ts'
import { JsonText } from '../shared/json-text.tsx'
import { ProblemNote } from '../shared/problem-note.tsx'
import { useSession } from '../shared/session.ts'
import { type Run, runPath } from './runs.ts'

/** Why a run stands still, and what can be done about it. */
export function RunQuestion({ run, onAnswer }: { run: Run; onAnswer: () => void }) {
  const { status, reason, question } = run
  if (status === 'waiting' && reason === 'approval') {
    return (
      <p class="note">
        <code>{question?.function ?? 'A step'}</code> waits for a person. <a href="#approvals">Decide it</a>
      </p>
    )
  }
  if (status === 'waiting') {
    return (
      <p class="note">
        Step {question?.step} waits for the signal <code>{question?.signal}</code>.
      </p>
    )
  }
  if (status !== 'parked') return null
  return reason === 'in_doubt' ? <InDoubt run={run} onAnswer={onAnswer} /> : <Diverged run={run} onAnswer={onAnswer} />
}

type Answer = 'repeat' | 'done' | 'failed'

/** Nobody knows whether the step took effect: a person looks, and says how to go on. */
function InDoubt({ run: { id, question }, onAnswer }: { run: Run; onAnswer: () => void }) {
  const { owner } = useSession()
  const { busy, problem, perform } = useAction(onAnswer)
  const answer = (choice: Answer): void =>
    void perform('Answering…', () => request('POST', `${runPath(id)}/resume`, { step: question?.step, answer: choice }))
  const off = !owner || busy !== ''
  return (
    <section class="note question-note" aria-label="In doubt">
      <p>
        <strong>
          <code>{question?.function}</code> (step {question?.step}) was under way when its process went.
        </strong>{' '}
        Nobody knows whether it took effect, and it is not repeated by itself. Look, then say how to go on.
      </p>
      {question?.input !== undefined && <JsonText value={question.input} />}
      <p class="actions">
        <button type="button" disabled={off} onClick={() => answer('done')}>
          It took effect
        </button>
        <button type="button" disabled={off} onClick={() => answer('repeat')}>
          It did not: send it again
        </button>
        <button type="button" disabled={off} onClick={() => answer('failed')}>
          Go on without it
        </button>
        <AskForCode />
      </p>
      {problem && <ProblemNote problem={problem} />}
    </section>
  )
}

function Diverged({ run: { id, question }, onAnswer }: { run: Run; onAnswer: () => void }) {
  const { owner } = useSession()
  const { busy, problem, perform } = useAction(onAnswer)
  return (
    <section class="note question-note" aria-label="Diverged">
      <p>
        <strong>The code has changed at step {question?.step}.</strong> Install the version that began this run and try
        it again, or begin a new one there:{' '}
        <code>
          npm run agentos -- replay {id} --from {question?.step}
        </code>
      </p>
      <p class="actions">
        <button
          type="button"
          disabled={!owner || busy !== ''}
          onClick={() =>
            void perform('Trying again…', () => request('POST', `${runPath(id)}/resume`, { answer: 'repeat' }))
          }
        >
          Try again
        </button>
        <AskForCode />
      </p>
      {problem && <ProblemNote problem={problem} />}
    </section>
  )
}

/** A guest reads the question; the owner answers it. */
function AskForCode() {
  const { owner, ask } = useSession()
  if (owner) return null
  return (
    <button type="button" class="link" onClick={() => ask(true)}>
      Enter the one-time code
    </button>
  )
}
