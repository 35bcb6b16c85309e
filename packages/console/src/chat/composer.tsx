import { useEffect, useRef } from 'preact/hooks'
import type { ModelChoice } from '../models/models.ts'

interface ComposerProps {
  busy: boolean
  /** Models that can be used now, beside the default. */
  choices: ModelChoice[]
  defaultModel: string
  model: string
  onModel: (model: string) => void
  onSend: (message: string) => void
  onStop: () => void
}

export function Composer({ busy, choices, defaultModel, model, onModel, onSend, onStop }: ComposerProps) {
  const text = useRef<HTMLTextAreaElement>(null)
  useEffect(() => text.current?.focus(), [])
  const fit = (): void => {
    const area = text.current
    if (!area) return
    area.style.blockSize = 'auto'
    area.style.blockSize = `${Math.min(area.scrollHeight, 240)}px`
  }
  const submit = (event?: Event): void => {
    event?.preventDefault()
    const message = text.current?.value.trim()
    if (busy || !text.current || !message) return
    text.current.value = ''
    fit()
    onSend(message)
  }
  const onKey = (event: KeyboardEvent): void => {
    // While an input method composes a letter, Enter belongs to it.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) submit(event)
    if (event.key === 'Escape' && busy) onStop()
  }
  return (
    <form class="composer" onSubmit={submit}>
      <textarea
        ref={text}
        rows={1}
        aria-label="Message"
        placeholder="Write a message"
        onInput={fit}
        onKeyDown={onKey}
      />
      <div class="composer-bar">
        {choices.length > 0 && (
          <select aria-label="Model" value={model} onChange={(event) => onModel(event.currentTarget.value)}>
            <option value="">{defaultModel} (default)</option>
            {choices.map(({ id }) => (
              <option key={id} value={id}>
                {id}
              </option>
            ))}
          </select>
        )}
        <span class="dim hint">{busy ? 'Esc stops' : 'Enter sends, Shift+Enter begins a line'}</span>
        {busy ? (
          <button type="button" onClick={onStop}>
            Stop
          </button>
        ) : (
          <button type="submit" class="primary">
            Send
          </button>
        )}
      </div>
    </form>
  )
}
