import { formatCount } from './format.ts'

const SHOWN = 8_000

/** A value as JSON over several lines; the end of a long one is left out, and said to be. */
export function JsonText({ value }: { value: unknown }) {
  const text = JSON.stringify(value, null, 2)
  const left = text.length - SHOWN
  return (
    <pre class="json">{left <= 0 ? text : `${text.slice(0, SHOWN)}\n… ${formatCount(left)} further characters`}</pre>
  )
}
