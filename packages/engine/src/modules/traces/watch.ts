import { realmsShown } from '../../core/context.ts'
import type { BuiltinCall, ChannelRef, ModuleHost, Span } from '../../core/module.ts'
import { overloaded } from '../../core/overload.ts'
import { isFiring, isInternal } from '../../store/trace-store.ts'
import { ANSWER_BYTES } from '../answer-size.ts'
import type { Input } from '../input.ts'
import type { Recorder } from './recorder.ts'
import { spanJson } from './span-json.ts'

/** The writing end of a channel, as far as frames of text go. */
export interface TextWriter {
  /** Takes the text in any case; `false` asks to wait for `onDrain`. */
  write(text: string): boolean
  /** Runs once there is room again, or nobody reads any more. */
  onDrain(run: () => void): void
  /** The reader went away. */
  readonly aborted: boolean
  end(): void
}

/** Takes the writing end of a channel. Throws `not_found` or `conflict`. */
export type OpenWriter = (ref: ChannelRef) => TextWriter

const MAX_WATCHERS = 100
/** An end that the engine chooses is better than the deadline's error. */
const BEFORE_DEADLINE_MS = 500

/** `engine::traces::watch`: spans as they end, as text frames `{"type":"span","span":…}`, until the reader leaves. */
export function watch(
  host: ModuleHost,
  recorder: Recorder,
  openWriter: OpenWriter,
  input: Input,
  call: BuiltinCall,
): void {
  const ref = channelRef(input)
  const traceId = input.optionalString('trace_id')
  const includeInternal = input.optionalBoolean('include_internal') ?? false
  if (recorder.listening >= MAX_WATCHERS) {
    throw overloaded(`${MAX_WATCHERS} readers follow the traces already`)
  }
  const writer = openWriter(ref)
  const [realm, ...beside] = realmsShown(call.context)
  const isShown = (span: Span): boolean =>
    span.realm === realm || (beside.includes(span.realm) && (traceId !== undefined || isFiring(span)))
  const sent = new Set<string>()
  let blocked = false
  let dropped = 0
  const send = (span: Span): void => {
    if (!isShown(span) || (!includeInternal && isInternal(span))) return
    if (writer.aborted) return finish()
    if (blocked) {
      dropped += 1
      return
    }
    if (traceId !== undefined) {
      if (sent.has(span.spanId)) return
      sent.add(span.spanId)
    }
    if (!writer.write(JSON.stringify({ type: 'span', span: spanJson(span) }))) block()
  }
  const block = (): void => {
    blocked = true
    writer.onDrain(() => {
      blocked = false
      if (writer.aborted) return finish()
      const spans = dropped
      dropped = 0
      if (spans > 0 && !writer.write(JSON.stringify({ type: 'dropped', spans }))) block()
    })
  }
  let ended = false
  const finish = (): void => {
    if (ended) return
    ended = true
    unlisten()
    if (timer) host.ports.timers.clear(timer)
    writer.end()
    call.reply({ success: true })
  }
  const unlisten = recorder.listen({ traceId, onSpan: send })
  const left = call.context.deadline === undefined ? undefined : call.context.deadline - host.ports.clock.monotonic()
  const timer = left === undefined ? undefined : host.ports.timers.set(left - BEFORE_DEADLINE_MS, finish)
  call.onCancel(finish)
  if (traceId !== undefined) recorder.byTrace(traceId, ANSWER_BYTES, ({ spans }) => spans.forEach(send))
}

function channelRef(input: Input): ChannelRef {
  const ref = input.optionalValue('stream')
  if (typeof ref === 'object' && ref !== null && 'channel_id' in ref && 'access_key' in ref) {
    const { channel_id, access_key } = ref
    if (typeof channel_id === 'string' && typeof access_key === 'string') {
      return { channel_id, access_key, direction: 'write' }
    }
  }
  throw input.mismatch('`stream` has to be the writer of a channel; over HTTP, ask with `stream=true`')
}
