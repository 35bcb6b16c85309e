import { formatCost, formatCount, formatMs, plural } from '../shared/format.ts'
import { JsonText } from '../shared/json-text.tsx'
import type { Attempt, RunStep } from './journal.ts'

/** `named`: several processes had the run, so each step says which of them recorded it. */
export function StepList({ steps, named }: { steps: RunStep[]; named: boolean }) {
  return (
    <ol class="steps">
      {steps.map((step) => (
        <Step key={step.key} step={step} named={named} />
      ))}
    </ol>
  )
}

function Step({ step, named }: { step: RunStep; named: boolean }) {
  const { key, name, kind, state, attempt, microUsd, tokens, outcome } = step
  return (
    <li data-state={state} data-step={key}>
      <details>
        <summary>
          <span class="step-key">{key}</span>
          <span class="step-name">
            <code>{name}</code> <span class="dim">{KINDS[kind] ?? kind}</span>
          </span>
          <span class="dim step-facts">
            {tokens !== undefined && <span>{plural(tokens, 'token')}</span>}
            {microUsd !== undefined && <span>{formatCost(microUsd)}</span>}
            {named && attempt && <span>{processOf(attempt)}</span>}
          </span>
          <span class="step-state">{timeOf(step)}</span>
        </summary>
        {outcome === undefined ? <p class="dim">No value is recorded.</p> : <JsonText value={outcome} />}
      </details>
    </li>
  )
}

/** A call needs no word. */
const KINDS: Record<string, string> = {
  call: '',
  void: 'not waited for',
  enqueue: 'queued',
  work: 'work',
  wait: 'signal',
}

const WORDS = { open: 'under way', waiting: 'waits', in_doubt: 'in doubt', done: 'done', failed: 'failed' }

function timeOf({ state, startedAt, endedAt, copied }: RunStep): string {
  if (endedAt === undefined) return WORDS[state]
  if (copied) return 'recorded'
  return state === 'failed' ? `failed ${formatMs(endedAt - startedAt)}` : formatMs(endedAt - startedAt)
}

const processOf = ({ number, pid }: Attempt): string => (pid === undefined ? `attempt ${number}` : `process ${pid}`)

/** What one wants to know after a crash or a pause: who had it, and that nothing was done twice. */
export function Handovers({ attempts }: { attempts: Attempt[] }) {
  if (attempts.length < 2) return null
  return (
    <p class="dim">
      Handed over {formatCount(attempts.length)} times: {attempts.map(processOf).join(', ')}. What was recorded before
      was read from the journal, not done again.
    </p>
  )
}
