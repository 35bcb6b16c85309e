import { useState } from 'preact/hooks'
import { formatCost, formatCount, formatMs, plural } from '../shared/format.ts'
import { ProblemNote } from '../shared/problem-note.tsx'
import type { ModelFacts } from './span.ts'
import { type TraceSource, useTrace } from './trace.ts'
import { layOut, type Waterfall, type WaterfallRow } from './waterfall.ts'

interface TraceViewProps {
  source: TraceSource
  /** The request has not been answered yet. */
  running: boolean
}

/** The trace of one request as an indented waterfall; it grows while the request runs. */
export function TraceView({ source, running }: TraceViewProps) {
  const { spans, live, elapsedMs, problem } = useTrace(source, running)
  const [all, setAll] = useState(false)
  const { root } = source
  const waterfall = layOut(spans, { live, elapsedMs, ...(root ? { root } : {}) })
  const own = waterfall.rows.filter(isEngineWork)
  const rows = all ? waterfall.rows : waterfall.rows.filter((row) => !isEngineWork(row))
  return (
    <div class="trace" data-live={live}>
      <Totals waterfall={waterfall} live={live} />
      {problem && <ProblemNote problem={problem} />}
      {!live && !problem && rows.length === 0 && <p class="dim">No span of this trace was kept.</p>}
      <ol class="waterfall">
        {rows.map((row) => (
          <Row key={row.id} row={row} totalMs={waterfall.durationMs} />
        ))}
      </ol>
      {own.length > 0 && (
        <label class="check">
          <input type="checkbox" checked={all} onChange={(event) => setAll(event.currentTarget.checked)} />
          {plural(own.length, 'call')} to the engine itself
        </label>
      )}
      <p class="dim trace-id">
        trace <code>{source.traceId}</code>
      </p>
    </div>
  )
}

/** State and the like: many, and seldom what one looks for. */
const isEngineWork = ({ depth, service, failure, open }: WaterfallRow): boolean =>
  depth > 0 && service === 'engine' && failure === undefined && !open

function Totals({ waterfall: { durationMs, totals, rows }, live }: { waterfall: Waterfall; live: boolean }) {
  if (rows.length === 0) return <p class="totals">{live ? 'Waiting for the first span…' : ''}</p>
  return (
    <p class="totals">
      <strong>{formatMs(durationMs)}</strong>
      {live && <span class="pulse">live</span>}
      {totals.calls > 0 && (
        <>
          <span>{plural(totals.calls, 'model call')}</span>
          <span>{plural(totals.input + totals.output, 'token')}</span>
          <span>
            {totals.unpriced < totals.calls ? formatCost(totals.microUsd) : 'price unknown'}
            {totals.unpriced > 0 && totals.unpriced < totals.calls ? ' and more' : ''}
          </span>
        </>
      )}
    </p>
  )
}

function Row({ row, totalMs }: { row: WaterfallRow; totalMs: number }) {
  const { depth, name, service, offsetMs, durationMs, open, failure, facts, attributes } = row
  const indent = { paddingInlineStart: `${Math.min(depth, 8) * 0.75}rem` }
  const percent = (ms: number): string => `${totalMs > 0 ? (100 * ms) / totalMs : 0}%`
  return (
    <li data-service={service || 'open'} data-failed={failure !== undefined} data-open={open}>
      <details>
        <summary>
          <span class="span-name" style={indent} title={name}>
            {name}
          </span>
          <span class="track" aria-hidden="true">
            <span class="bar" style={{ insetInlineStart: percent(offsetMs), inlineSize: percent(durationMs) }} />
          </span>
          <span class="span-ms">{open ? '…' : formatMs(durationMs)}</span>
          {facts && (
            <span class="span-facts" style={indent}>
              {factsLine(facts, name)}
            </span>
          )}
          {failure && (
            <span class="span-failure" style={indent}>
              {failure}
            </span>
          )}
        </summary>
        <dl>
          <dt>worker</dt>
          <dd>{service || 'not ended yet'}</dd>
          <dt>began after</dt>
          <dd>{formatMs(offsetMs)}</dd>
          {attributes.map(([key, value]) => (
            <>
              <dt>{key}</dt>
              <dd>{String(value)}</dd>
            </>
          ))}
        </dl>
      </details>
    </li>
  )
}

/** The model where the span's name does not say it already, its tokens and what they cost. */
function factsLine({ model, input, output, microUsd }: ModelFacts, name: string): string {
  const unknown = input === undefined && output === undefined
  return [
    model !== undefined && name.includes(model) ? undefined : model,
    unknown ? undefined : `${formatCount(input ?? 0)} in, ${formatCount(output ?? 0)} out`,
    unknown ? undefined : microUsd === undefined ? 'price unknown' : formatCost(microUsd),
  ]
    .filter((part) => part !== undefined)
    .join(' · ')
}
