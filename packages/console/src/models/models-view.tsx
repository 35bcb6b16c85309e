import { ProblemNote } from '../shared/problem-note.tsx'
import { useSession } from '../shared/session.ts'
import type { Models } from './models.ts'
import { ProviderCard } from './provider-card.tsx'

export function ModelsView({ models }: { models: Models }) {
  const { owner, ask } = useSession()
  const { providers, problem, reload } = models
  const remote = providers.filter((provider) => !provider.local)
  const local = providers.filter((provider) => provider.local)
  return (
    <main class="models">
      <InUse models={models} />
      {problem && <ProblemNote problem={problem} />}
      {!owner && (
        <p class="note">
          You are a guest here. Keys are the owner's:{' '}
          <button type="button" class="link" onClick={() => ask(true)}>
            enter the one-time code
          </button>{' '}
          to paste one.
        </p>
      )}
      <section aria-label="Providers">
        <h2>Providers</h2>
        <p class="dim">
          A key is kept on this machine, in <code>secrets.json</code> of the data folder, and used from the next request
          on. It is never shown again.
        </p>
        <ul class="cards">
          {remote.map((provider) => (
            <ProviderCard key={provider.name} provider={provider} onChange={reload} />
          ))}
        </ul>
      </section>
      <section aria-label="On this machine">
        <h2>On this machine</h2>
        <p class="dim">They need no key: when one listens at its address, it is used.</p>
        <ul class="cards">
          {local.map((provider) => (
            <ProviderCard key={provider.name} provider={provider} onChange={reload} />
          ))}
        </ul>
        <button type="button" onClick={reload}>
          Look again
        </button>
      </section>
    </main>
  )
}

function InUse({ models: { inUse, demo, known } }: { models: Models }) {
  if (!known) return null
  return (
    <section class="in-use" data-demo={demo || !inUse} aria-label="Model in use">
      <h2>Model in use</h2>
      <p class="model-name">{inUse ? `${inUse.provider}/${inUse.model}` : 'none'}</p>
      {demo || !inUse ? (
        <>
          <p>
            <strong>No model is connected.</strong>{' '}
            {demo && 'A few fixed rules answer in its place; they are not a language model.'}
          </p>
          <p>
            To connect one, paste a key below, put it into <code>.env</code> under the name that stands at the provider,
            or start Ollama, llama.cpp or vLLM on this machine.
          </p>
        </>
      ) : (
        <p class="dim">Chosen because {inUse.reason}.</p>
      )}
    </section>
  )
}
