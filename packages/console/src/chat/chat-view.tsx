import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Models } from '../models/models.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import type { TraceSource } from '../trace/trace.ts'
import { TraceView } from '../trace/trace-view.tsx'
import { AnswerView } from './answer-view.tsx'
import { Composer } from './composer.tsx'
import type { Conversation } from './conversation.ts'
import { SessionList } from './session-list.tsx'
import type { Turn } from './transcript.ts'
import { Welcome } from './welcome.tsx'

interface ChatViewProps {
  conversation: Conversation
  models: Models
}

const PANES = [
  ['sessions', 'Conversations'],
  ['chat', 'Chat'],
  ['trace', 'Trace'],
] as const

export function ChatView({ conversation, models }: ChatViewProps) {
  const { turns, busy, sessionId, problem, send, stop, show } = conversation
  const [pane, setPane] = useState<(typeof PANES)[number][0]>('chat')
  const [model, setModel] = useState('')
  // Until somebody chooses another, the trace is that of the newest answer.
  const [chosen, setChosen] = useState<TraceSource>()
  const trace = chosen ?? newestTrace(turns)
  const ask = (message: string): void => {
    setChosen(undefined)
    send(message, model || undefined)
  }
  const choose = (source: TraceSource): void => {
    setChosen(source)
    setPane('trace')
  }
  const open = (id?: string): void => {
    setChosen(undefined)
    setPane('chat')
    show(id)
  }
  return (
    <main class="chat" data-pane={pane}>
      <nav class="panes" aria-label="Part of the chat">
        {PANES.map(([name, label]) => (
          <button key={name} type="button" aria-pressed={pane === name} onClick={() => setPane(name)}>
            {label}
          </button>
        ))}
      </nav>
      <SessionList conversation={conversation} onShow={open} />
      <section class="conversation" aria-label="Conversation">
        <Turns turns={turns} trace={trace} onTrace={choose}>
          {turns.length === 0 && !problem && <Welcome models={models} onAsk={ask} fresh={sessionId === undefined} />}
          {problem && <ProblemNote problem={problem} />}
        </Turns>
        <Composer
          busy={busy}
          choices={models.choices}
          defaultModel={models.label}
          model={model}
          onModel={setModel}
          onSend={ask}
          onStop={stop}
        />
      </section>
      <section class="trace-pane" aria-label="Trace">
        <h2>Trace</h2>
        {trace ? (
          <TraceView key={trace.traceId} source={trace} running={busy && trace === newestTrace(turns)} />
        ) : (
          <p class="dim">
            Ask something, and see here what it took: every call, with its time, its tokens and its cost.
          </p>
        )}
      </section>
    </main>
  )
}

interface TurnsProps {
  turns: Turn[]
  trace: TraceSource | undefined
  onTrace: (source: TraceSource) => void
  children: ComponentChildren
}

function Turns({ turns, trace, onTrace, children }: TurnsProps) {
  const box = useRef<HTMLDivElement>(null)
  const atEnd = useRef(true)
  // Follow what is written, unless somebody scrolled up to read.
  useEffect(() => {
    if (atEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight
  }, [turns])
  const onScroll = (): void => {
    const { scrollTop = 0, clientHeight = 0, scrollHeight = 0 } = box.current ?? {}
    atEnd.current = scrollHeight - scrollTop - clientHeight < 40
  }
  return (
    <div class="turns" ref={box} onScroll={onScroll} role="log" aria-label="Messages">
      {children}
      {turns.map((turn, index) =>
        turn.role === 'user' ? (
          <p key={index} class="question">
            {turn.text}
          </p>
        ) : (
          <AnswerView
            key={index}
            answer={turn}
            traced={turn.trace !== undefined && turn.trace === trace}
            onTrace={() => turn.trace && onTrace(turn.trace)}
          />
        ),
      )}
    </div>
  )
}

function newestTrace(turns: Turn[]): TraceSource | undefined {
  const last = turns.findLast((turn) => turn.role === 'assistant')
  return last?.role === 'assistant' ? last.trace : undefined
}
