import type { RowEnv } from '../harness/row.ts'

/** A frame that no client would send, and what it is. */
export interface BadFrame {
  kind: string
  frame: string | Buffer
}

const UUID = '5f0c1f2e-4c11-4a7e-9d0e-0d9c1f6f7a02'

/** Frames as they should be; most bad ones are made of these. */
const GOOD: readonly object[] = [
  { type: 'invokefunction', invocation_id: UUID, function_id: 'state::get', data: { scope: 's', key: 'k' } },
  { type: 'invokefunction', function_id: 'fuzz::one', data: { a: [1, { b: null }] }, action: { type: 'void' } },
  {
    type: 'invokefunction',
    invocation_id: UUID,
    function_id: 'fuzz::two',
    data: 'ä€😀',
    action: { type: 'enqueue', queue: 'default' },
  },
  { type: 'invocationresult', invocation_id: UUID, function_id: 'fuzz::one', result: { ok: true } },
  { type: 'invocationresult', invocation_id: UUID, function_id: 'fuzz::one', error: { code: 'x', message: 'y' } },
  { type: 'registerfunction', id: 'fuzz::new', description: 'd', request_format: { type: 'object' } },
  {
    type: 'registertrigger',
    id: UUID,
    trigger_type: 'cron',
    function_id: 'fuzz::one',
    config: { expression: '0 0 1 1 *' },
  },
  {
    type: 'registertrigger',
    id: UUID,
    trigger_type: 'http',
    function_id: 'fuzz::one',
    config: { api_path: 'fuzz', http_method: 'GET' },
  },
  { type: 'registertriggertype', id: 'fuzz-type', description: 'd' },
  { type: 'unregisterfunction', id: 'fuzz::new' },
  { type: 'unregistertrigger', id: UUID, trigger_type: 'cron' },
  { type: 'reattach', previous_worker_id: UUID, reattach_token: UUID },
  { type: 'cancelinvocation', invocation_id: UUID, reason: 'r' },
  { type: 'triggerregistrationresult', id: UUID, trigger_type: 'x', function_id: 'fuzz::one' },
  { type: 'ping' },
]
const TEXTS = GOOD.map((frame) => JSON.stringify(frame))

const ODD: readonly unknown[] = [
  12.5,
  -1,
  1e308,
  '',
  'x',
  true,
  null,
  [],
  [[]],
  {},
  { toString: 1, valueOf: 1 },
  JSON.parse('{"__proto__": {"a": 1}, "constructor": {"prototype": 1}}'),
]

/** Makes bad frames, the same ones for the same seed. */
export class BadFrames {
  private readonly env: RowEnv
  private made = 0

  constructor(env: RowEnv) {
    this.env = env
  }

  next(): BadFrame {
    this.made += 1
    const kinds = this.made % 1_000 === 0 ? RARE : COMMON
    const [kind, make] = kinds[this.env.between(0, kinds.length - 1)]!
    return { kind, frame: make(this) }
  }

  between(low: number, high: number): number {
    return this.env.between(low, high)
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.between(0, 255)))
  }

  text(): string {
    return TEXTS[this.between(0, TEXTS.length - 1)]!
  }

  odd(): unknown {
    return ODD[this.between(0, ODD.length - 1)]
  }
}

type Maker = readonly [kind: string, make: (frames: BadFrames) => string | Buffer]

const COMMON: readonly Maker[] = [
  ['random bytes', (frames) => frames.bytes(frames.between(1, 200))],
  ['random text', (frames) => frames.bytes(frames.between(1, 100)).toString('latin1')],
  ['cut off', (frames) => cut(frames)],
  ['one byte changed', (frames) => changed(frames, 1)],
  ['some bytes changed', (frames) => changed(frames, 5)],
  ['a field of another type', (frames) => oddField(frames)],
  ['two keys of one name', (frames) => twice(frames)],
  ['a key of one name, written otherwise', (frames) => twice(frames, true)],
  ['nested', (frames) => nested(frames, frames.between(10, 2_000))],
  ['a prototype', (frames) => frames.text().replace('{', '{"__proto__":{"type":"ping","function_id":"fuzz::two"},')],
  [
    'one more field',
    (frames) => frames.text().replace('{', `{"x${frames.between(0, 1e9)}":${JSON.stringify(frames.odd())},`),
  ],
  ['a registration', (frames) => JSON.stringify({ type: 'registerfunction', id: `fuzz::r${frames.between(0, 1e9)}` })],
]

const RARE: readonly Maker[] = [
  ['deeply nested', (frames) => nested(frames, 200_000)],
  [
    'a huge id',
    () =>
      JSON.stringify({ type: 'invokefunction', invocation_id: 'i'.repeat(200_000), function_id: 'f'.repeat(200_000) }),
  ],
  [
    'a huge registration',
    () => JSON.stringify({ type: 'registerfunction', id: 'fuzz::huge', description: 'd'.repeat(1_000_000) }),
  ],
  ['telemetry that is none', (frames) => Buffer.concat([Buffer.from('OTLP'), frames.bytes(100)])],
  ['an empty frame', () => Buffer.alloc(0)],
]

function cut(frames: BadFrames): string {
  const text = frames.text()
  return text.slice(0, frames.between(0, text.length - 1))
}

function changed(frames: BadFrames, count: number): Buffer {
  const copy = Buffer.from(frames.text())
  for (let n = 0; n < count; n += 1) copy[frames.between(0, copy.length - 1)] = frames.between(0, 255)
  return copy
}

function oddField(frames: BadFrames): string {
  const frame = JSON.parse(frames.text()) as Record<string, unknown>
  const keys = Object.keys(frame)
  frame[keys[frames.between(0, keys.length - 1)]!] = frames.odd()
  return JSON.stringify(frame)
}

function twice(frames: BadFrames, escaped = false): string {
  const text = frames.text()
  const other = JSON.parse(frames.text()) as Record<string, unknown>
  const keys = Object.keys(other)
  const key = keys[frames.between(0, keys.length - 1)]!
  const written = escaped ? `\\u00${key.charCodeAt(0).toString(16)}${key.slice(1)}` : key
  const member = `"${written}":${JSON.stringify(other[key])}`
  return frames.between(0, 1) === 0 ? text.replace('{', `{${member},`) : `${text.slice(0, -1)},${member}}`
}

function nested(frames: BadFrames, depth: number): string {
  const text = frames.text()
  const open = frames.between(0, 1) === 0 ? '[' : '{"a":'
  const close = open === '[' ? ']' : '}'
  const balanced = frames.between(0, 1) === 0
  return `${text.slice(0, -1)},"x":${open.repeat(depth)}1${balanced ? close.repeat(depth) : ''}}`
}
