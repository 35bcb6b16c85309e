import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { request } from '../shared/api.ts'
import { formatMs } from '../shared/format.ts'
import { type Problem, problemOf } from '../shared/problem.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import { useSession } from '../shared/session.ts'
import { sourceOf, type TraceSource } from '../trace/trace.ts'
import { TraceView } from '../trace/trace-view.tsx'
import type { FunctionView } from './directory.ts'
import { FieldInput, JsonInput } from './field-input.tsx'
import { type Draft, inputOf, WHOLE } from './form-input.ts'
import { formOf } from './schema-form.ts'

type Outcome =
  | { state: 'calling' }
  | { state: 'answered'; output: unknown; durationMs: number; trace: TraceSource | undefined }
  | { state: 'refused'; problem: Problem }

const EFFECTS = {
  read: 'changes nothing',
  write: 'changes what is stored here',
  external: 'may change something outside',
}

/** A function with a form for its input, and what it answered. */
export function FunctionPanel({ fn, asleep }: { fn: FunctionView; asleep: boolean }) {
  const { owner } = useSession()
  const form = useMemo(() => formOf(fn.request_format, fn.installed), [fn.request_format, fn.installed])
  const [draft, setDraft] = useState<Draft>({})
  const [problems, setProblems] = useState<Record<string, string>>({})
  const [outcome, setOutcome] = useState<Outcome>()
  const write = (name: string, value: string | boolean): void => {
    setDraft((before) => ({ ...before, [name]: value }))
    setProblems(({ [name]: _solved, ...others }) => others)
  }
  const call = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault()
    const input = inputOf(form, draft)
    setProblems(input.ok ? {} : input.problems)
    if (!input.ok) {
      const [first] = Object.keys(input.problems)
      document.getElementById(`field-${first}`)?.focus()
      return
    }
    setOutcome({ state: 'calling' })
    setOutcome(await callFunction(fn.id, input.payload))
  }
  return (
    <>
      <h2>
        <code>{fn.id}</code>
      </h2>
      <p>{fn.summary}</p>
      <p class="badges">
        <span class="badge" data-effects={fn.effects}>
          {EFFECTS[fn.effects]}
        </span>
        {fn.access === 'owner' && (
          <span class="badge">{owner ? 'owner only' : 'owner only: enter the code first'}</span>
        )}
        {!fn.up && <span class="badge">{asleep ? 'asleep: a call starts it' : 'nobody serves it now'}</span>}
      </p>
      <form class="function-form" onSubmit={call} noValidate>
        {form.kind === 'json' ? (
          <JsonInput
            name={WHOLE}
            label="Payload (JSON)"
            value={String(draft[WHOLE] ?? '')}
            placeholder="{}"
            problem={problems[WHOLE]}
            onWrite={write}
          />
        ) : (
          form.fields.map((field) => (
            <FieldInput
              key={field.name}
              field={field}
              value={draft[field.name]}
              problem={problems[field.name]}
              onWrite={write}
            />
          ))
        )}
        {form.kind === 'fields' && form.fields.length === 0 && <p class="dim">It takes no input.</p>}
        <button type="submit" class="primary" disabled={outcome?.state === 'calling'}>
          {outcome?.state === 'calling' ? 'Calling…' : 'Call'}
        </button>
      </form>
      <div role="status">{outcome && <OutcomeView outcome={outcome} />}</div>
    </>
  )
}

async function callFunction(functionId: string, payload: unknown): Promise<Outcome> {
  try {
    const { body, headers, durationMs } = await request('POST', '/v1/functions/call', { functionId, payload })
    return { state: 'answered', output: body, durationMs, trace: sourceOf(headers, 'POST /v1/functions/call') }
  } catch (error) {
    return { state: 'refused', problem: problemOf(error) }
  }
}

function OutcomeView({ outcome }: { outcome: Outcome }) {
  const section = useRef<HTMLElement>(null)
  // A long form must not hide that there is an answer.
  useEffect(() => section.current?.scrollIntoView({ block: 'nearest' }), [outcome])
  if (outcome.state === 'calling') return null
  if (outcome.state === 'refused') return <ProblemNote problem={outcome.problem} />
  const { output, durationMs, trace } = outcome
  return (
    <section ref={section} class="outcome" aria-label="Result">
      <h3>
        Result <span class="dim">{formatMs(durationMs)}</span>
      </h3>
      <pre class="result">{JSON.stringify(output, null, 2)}</pre>
      {trace && (
        <details>
          <summary>Trace</summary>
          <TraceView key={trace.traceId} source={trace} running={false} />
        </details>
      )}
    </section>
  )
}
