import { formatWhen } from '../shared/format.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import type { Conversation } from './conversation.ts'

interface SessionListProps {
  conversation: Conversation
  onShow: (sessionId?: string) => void
}

/** Stored conversations with an agent, and a way to a new one. */
export function SessionList({ conversation, onShow }: SessionListProps) {
  const { sessions, sessionId: current, busy, agents, agentId, chooseAgent } = conversation
  const { value, problem } = sessions
  // The answer that is being made belongs to the conversation on the page.
  const why = busy ? { disabled: true, title: 'Stop the answer first' } : {}
  return (
    <nav class="sessions" aria-label="Conversations">
      {agents.length > 1 && (
        <select
          aria-label="Agent"
          value={agentId}
          onChange={(event) => chooseAgent(event.currentTarget.value)}
          {...why}
        >
          {agents.map(({ id, name }) => (
            <option key={id} value={id}>
              {name}
            </option>
          ))}
        </select>
      )}
      <button type="button" class="new" onClick={() => onShow()} {...why}>
        New conversation
      </button>
      {problem && <ProblemNote problem={problem} />}
      {value?.length === 0 && <p class="dim">What you talk about is kept here.</p>}
      <ul>
        {value?.map(({ sessionId, title, updatedAt }) => (
          <li key={sessionId}>
            <button
              type="button"
              aria-current={sessionId === current}
              onClick={() => onShow(sessionId)}
              {...(sessionId === current ? {} : why)}
            >
              <span class="title">{title || 'Without a title'}</span>
              <time dateTime={new Date(updatedAt).toISOString()}>{formatWhen(updatedAt)}</time>
            </button>
          </li>
        ))}
      </ul>
    </nav>
  )
}
