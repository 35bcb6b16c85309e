import type { setKey, test } from '@agentos/contracts/llm-router'
import type { OutputOf } from '@agentos/sdk/contract'
import { useRef, useState } from 'preact/hooks'
import { request } from '../shared/api.ts'
import { plural } from '../shared/format.ts'
import { type Problem, problemOf } from '../shared/problem.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import { useSession } from '../shared/session.ts'
import type { Provider } from './models.ts'

const KEY_SOURCES = { env: 'from the environment', dotenv: 'from .env', secrets: 'pasted here' }

export function ProviderCard({ provider, onChange }: { provider: Provider; onChange: () => void }) {
  const { owner } = useSession()
  const { name, env_key, local, configured, keySource, base_url } = provider
  const [busy, setBusy] = useState('')
  const [said, setSaid] = useState<OutputOf<typeof test>>()
  const [problem, setProblem] = useState<Problem>()
  const form = useRef<HTMLFormElement>(null)
  const path = `/v1/llm/providers/${encodeURIComponent(name)}`

  const perform = async (doing: string, work: () => Promise<unknown>): Promise<void> => {
    setBusy(doing)
    setProblem(undefined)
    setSaid(undefined)
    await work().catch((error: unknown) => setProblem(problemOf(error)))
    setBusy('')
    onChange()
  }
  const putKey = (key: string) => request<OutputOf<typeof setKey>>('PUT', `${path}/key`, { key })
  const tryIt = async (): Promise<void> =>
    setSaid((await request<OutputOf<typeof test>>('POST', `${path}/test`, {})).body)
  const save = (event: SubmitEvent): void => {
    event.preventDefault()
    const key = String(new FormData(form.current ?? undefined).get('key') ?? '').trim()
    // From here on nothing of the page holds the key.
    form.current?.reset()
    if (key !== '') void perform('Saving…', () => putKey(key).then(tryIt))
  }

  return (
    <li class="card" data-state={stateOf(provider)}>
      <header>
        <h3>{name}</h3>
        <span class="badge">{STATES[stateOf(provider)]}</span>
      </header>
      <p class="dim">
        {local ? base_url : env_key}
        {keySource && ` · ${KEY_SOURCES[keySource]}`}
        {provider.modelCount > 0 && ` · ${plural(provider.modelCount, 'model')}`}
      </p>
      {!local && (
        <form ref={form} onSubmit={save} autocomplete="off">
          <input
            type="password"
            name="key"
            aria-label={`Key for ${name}`}
            placeholder={configured ? 'Paste another key' : 'Paste a key'}
            autocomplete="off"
            disabled={!owner || busy !== ''}
          />
          <button type="submit" disabled={!owner || busy !== ''}>
            Save
          </button>
        </form>
      )}
      {configured && (
        <p class="actions">
          <button
            type="button"
            class="link"
            disabled={!owner || busy !== ''}
            onClick={() => perform('Testing…', tryIt)}
          >
            Test
          </button>
          {keySource === 'secrets' && (
            <button
              type="button"
              class="link"
              disabled={!owner || busy !== ''}
              onClick={() => perform('Removing…', () => putKey(''))}
            >
              Remove key
            </button>
          )}
        </p>
      )}
      <div role="status">
        {busy && <p class="dim">{busy}</p>}
        {said?.ok && <p class="good">It answers, with {plural(said.models.length, 'model')}.</p>}
        {said?.error && <p class="field-problem">{said.error.message}</p>}
      </div>
      {problem && <ProblemNote problem={problem} />}
    </li>
  )
}

type State = 'ready' | 'failing' | 'absent' | 'none'

const STATES: Record<State, string> = {
  ready: 'ready',
  failing: 'not answering',
  absent: 'not running',
  none: 'no key',
}

function stateOf({ available, configured, local }: Provider): State {
  if (available) return 'ready'
  if (local) return 'absent'
  return configured ? 'failing' : 'none'
}
