import type { InvocationResultFrame, InvokeFunctionFrame } from './frames.ts'
import type { Payload } from './payload.ts'

/** The envelope of a call that the engine delivers. */
export type InvokeHead = Omit<InvokeFunctionFrame, 'type' | 'data'>

/** The envelope of a result that the engine delivers. */
export type ResultHead = Omit<InvocationResultFrame, 'type' | 'result' | 'refused'>

/** A frame whose payload stays the bytes that came in; they are not copied until they leave. */
export class Spliced {
  readonly head: string
  readonly json: Buffer
  readonly tail: string

  constructor(head: string, json: Buffer, tail: string) {
    this.head = head
    this.json = json
    this.tail = tail
  }

  toString(): string {
    return `${this.head}${this.json.toString('utf8')}${this.tail}`
  }
}

/**
 * Writes a call. With `callerWorkerId` an object payload ends with the key `_caller_worker_id`, whatever the caller wrote
 * there. A payload of bytes is spliced; either result is the content of a WebSocket text message.
 */
export function encodeInvoke(
  head: InvokeHead,
  payload: Payload | undefined,
  callerWorkerId?: string,
): string | Spliced {
  return splice(`{"type":"invokefunction",${JSON.stringify(head).slice(1, -1)}`, 'data', payload, callerWorkerId)
}

/** Writes a result; without a payload the key `result` is absent. */
export function encodeResult(head: ResultHead, payload?: Payload): string | Spliced {
  return splice(`{"type":"invocationresult",${JSON.stringify(head).slice(1, -1)}`, 'result', payload)
}

/** Ends an open envelope with the payload under `key`. */
function splice(
  envelope: string,
  key: string,
  payload: Payload | undefined,
  callerWorkerId?: string,
): string | Spliced {
  if (payload === undefined) return `${envelope}}`
  if ('value' in payload) {
    const value = payload.value
    const json =
      callerWorkerId !== undefined && typeof value === 'object' && value !== null && !Array.isArray(value)
        ? withCaller(value, callerWorkerId)
        : JSON.stringify(value)
    return json === undefined ? `${envelope}}` : `${envelope},"${key}":${json}}`
  }
  const json = trim(payload.json)
  const head = `${envelope},"${key}":`
  if (callerWorkerId === undefined || json[0] !== OPEN_BRACE) return new Spliced(head, json, '}')
  // The last of two equal keys is the one that a reader sees.
  const open = json.subarray(0, -1)
  const member = `${isEmpty(open) ? '' : ','}"_caller_worker_id":${JSON.stringify(callerWorkerId)}}}`
  return new Spliced(head, open, member)
}

/** The text of an object with the caller as its last and only `_caller_worker_id`; the object stays as it is. */
function withCaller(value: object, callerWorkerId: string): string {
  let own: object = value
  if (Object.hasOwn(value, '_caller_worker_id')) {
    const { _caller_worker_id, ...others } = value as Record<string, unknown>
    own = others
  }
  const json = JSON.stringify(own)
  const member = `"_caller_worker_id":${JSON.stringify(callerWorkerId)}}`
  return json === '{}' ? `{${member}` : `${json.slice(0, -1)},${member}`
}

const OPEN_BRACE = 0x7b

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** Without the white space around it. */
function trim(json: Buffer): Buffer {
  let start = 0
  let end = json.length
  while (isSpace(json[start])) start++
  while (end > start && isSpace(json[end - 1])) end--
  return json.subarray(start, end)
}

/** Whether an object's text, without its closing brace, has no member. */
function isEmpty(open: Buffer): boolean {
  return trim(open.subarray(1)).length === 0
}
