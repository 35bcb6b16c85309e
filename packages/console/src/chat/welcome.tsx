import type { Models } from '../models/models.ts'
import { useSession } from '../shared/session.ts'

const EXAMPLES = [
  'What is 17 times 23?',
  'Remember that my dog is called Rex',
  'What do you know about my dog?',
  'Which functions are there?',
]

interface WelcomeProps {
  models: Models
  /** A new conversation, not a stored one that is still being read. */
  fresh: boolean
  onAsk: (message: string) => void
}

export function Welcome({ models, fresh, onAsk }: WelcomeProps) {
  const { owner, ask } = useSession()
  if (!fresh) return <p class="dim">Reading the conversation…</p>
  return (
    <div class="welcome">
      <h2>What would you like to know?</h2>
      {models.demo && (
        <p class="note">
          No model is connected, so <code>demo/rules</code> answers: a few fixed rules, not a language model.{' '}
          <a href="#models">Connect a model</a>
        </p>
      )}
      {models.known && !models.demo && !models.inUse && (
        <p class="note">
          No model is connected. <a href="#models">Connect a model</a> to get an answer.
        </p>
      )}
      {!owner && (
        <p class="dim">
          You are a guest: you may chat, and call what is open to guests, in a realm of your own. Model keys and the
          owner's functions need the{' '}
          <button type="button" class="link" onClick={() => ask(true)}>
            one-time code
          </button>
          .
        </p>
      )}
      <ul>
        {EXAMPLES.map((example) => (
          <li key={example}>
            <button type="button" onClick={() => onAsk(example)}>
              {example}
            </button>
          </li>
        ))}
      </ul>
    </div>
  )
}
