import { KnownSecrets } from '@agentos/protocol'
import { beforeEach, describe, expect, it } from 'vitest'
import { TestHost } from '../../../test/host.ts'
import { MemoryTraceStore } from '../../store/memory-trace-store.ts'
import { span } from '../../store/trace-store.contract.ts'
import type { TraceStore } from '../../store/trace-store.ts'
import { createSecretsModule } from '../secrets/module.ts'
import { createTracesModule, type TracesModule, type TracesModuleOptions } from './module.ts'
import type { SpanJson, SpanNode } from './span-json.ts'
import type { TextWriter } from './watch.ts'

const OWNER = { kind: 'owner' as const }
const TRACE = 'ab'.repeat(16)
const REF = { channel_id: 'c', access_key: 'k', direction: 'write' }

/** The writing end of a channel that a test reads. */
class FakeWriter implements TextWriter {
  frames: { type: string; span?: SpanJson; spans?: number }[] = []
  room = Number.POSITIVE_INFINITY
  aborted = false
  ended = false
  private waiting: (() => void)[] = []

  write(text: string): boolean {
    this.frames.push(JSON.parse(text))
    this.room -= 1
    return this.room > 0
  }

  onDrain(run: () => void): void {
    this.waiting.push(run)
  }

  end(): void {
    this.ended = true
  }

  drain(): void {
    this.room = Number.POSITIVE_INFINITY
    for (const run of this.waiting.splice(0)) run()
  }
}

let host: TestHost
let traces: TracesModule
let writer: FakeWriter

function boot(options: Partial<TracesModuleOptions> = {}): void {
  writer = new FakeWriter()
  traces = createTracesModule({ version: '0.1.0', openWriter: () => writer, ...options })
  host = new TestHost([traces])
}

beforeEach(() => boot())

function recorded(given: Parameters<typeof span>[0] = {}): void {
  const now = host.time.now()
  host.core.spans.record(span({ traceId: TRACE, startMs: now - 5, endMs: now, ...given }))
}

function listed(input: object = {}, as: object = {}): SpanJson[] {
  return (host.value('engine::traces::list', input, as) as { spans: SpanJson[] }).spans
}

function roots(traceId: string = TRACE, as: object = {}): SpanNode[] {
  return (host.value('engine::traces::tree', { trace_id: traceId }, as) as { roots: SpanNode[] }).roots
}

describe('traces', () => {
  it('are listed by their roots in the shape of the protocol', () => {
    const startMs = 1_795_363_200_000.125
    recorded({
      spanId: '1'.repeat(16),
      name: 'app::a',
      startMs,
      endMs: startMs + 2,
      attributes: { function_id: 'app::a' },
    })
    recorded({ spanId: '2'.repeat(16), name: 'app::b', parentSpanId: '1'.repeat(16) })
    const result = host.value('engine::traces::list', { trace_id: TRACE.toUpperCase() })
    expect(result).toEqual({
      spans: [
        {
          trace_id: TRACE,
          span_id: '1'.repeat(16),
          parent_span_id: null,
          name: 'app::a',
          start_time_unix_nano: 1_795_363_200_000_125_000,
          end_time_unix_nano: 1_795_363_200_002_125_000,
          status: 'ok',
          attributes: [['function_id', 'app::a']],
          service_name: 'memory',
          events: [],
          links: [],
        },
      ],
      total: 1,
      offset: 0,
      limit: 100,
    })
    expect(listed({ search_all_spans: true, trace_ids: [TRACE] })).toHaveLength(2)
    expect(host.error('engine::traces::list', { limit: 'many' }).code).toBe('deserialization_error')
    expect(host.error('engine::traces::list', { attributes: ['x'] }).code).toBe('deserialization_error')
  })

  it('hold the calls of the core itself, and hide those of the engine unless asked', () => {
    host.handler('app::a', (call) => call.fail('invocation_failed', 'no'))
    host.call('app::a', {}, { traceId: TRACE })
    expect(roots()).toMatchObject([{ name: 'app::a', status: 'error', status_description: 'invocation_failed: no' }])
    expect(listed().map((found) => found.name)).toEqual(['app::a'])
    expect(listed({ include_internal: true }).map((found) => found.name)).toContain('engine::traces::list')
  })

  it('tell the owner at home, and nobody else, what the schedules of workers do in the realm of the system', () => {
    const system = { realm: 'system', attributes: { function_id: 'notes::tidy' } }
    recorded({
      ...system,
      name: 'notes::tidy',
      spanId: '1'.repeat(16),
      kind: 'trigger',
      attributes: { trigger: 'cron' },
    })
    recorded({ ...system, name: 'state::get', spanId: '2'.repeat(16), parentSpanId: '1'.repeat(16) })
    recorded({ ...system, name: 'at start', spanId: '3'.repeat(16), traceId: 'cd'.repeat(16) })
    expect(listed({}, OWNER).map(({ name }) => name)).toEqual(['notes::tidy'])
    expect(listed({ trigger: 'cron' }, OWNER)).toHaveLength(1)
    expect(listed({ trigger: 'subscribe' }, OWNER)).toEqual([])
    expect(roots(TRACE, OWNER)).toMatchObject([{ name: 'notes::tidy', children: [{ name: 'state::get' }] }])
    host.start('engine::traces::watch', { stream: REF, trace_id: TRACE }, OWNER)
    expect(writer.frames.map(({ span }) => span?.name)).toEqual(['notes::tidy', 'state::get'])
    for (const as of [{ kind: 'guest' }, { kind: 'agent' }, { ...OWNER, realm: 'realm-b' }]) {
      expect([listed({}, as), roots(TRACE, as)]).toEqual([[], []])
    }
  })

  it('are drawn as a tree; what has no known parent is a root, even in a circle', () => {
    const ids = ['1', '2', '3', '4', '5', '6'].map((digit) => digit.repeat(16))
    recorded({ name: 'late child', spanId: ids[2]!, parentSpanId: ids[1]! })
    recorded({ name: 'child', spanId: ids[1]!, parentSpanId: ids[0]! })
    recorded({ name: 'root', spanId: ids[0]! })
    recorded({ name: 'stranger', spanId: ids[3]!, parentSpanId: 'f'.repeat(16) })
    recorded({ name: 'egg', spanId: ids[4]!, parentSpanId: ids[5]! })
    recorded({ name: 'hen', spanId: ids[5]!, parentSpanId: ids[4]! })
    const tree = roots()
    expect(tree.map((node) => node.name).sort()).toEqual(['hen', 'root', 'stranger'])
    expect(tree.find((node) => node.name === 'root')).toMatchObject({
      children: [{ name: 'child', children: [{ name: 'late child', children: [] }] }],
    })
    expect(roots('c'.repeat(32))).toEqual([])
  })

  it('of a very long chain stay shallow enough to be written', () => {
    const id = (n: number) => n.toString(16).padStart(16, '0')
    for (let n = 1; n <= 3_000; n += 1) {
      host.time.advance(1)
      recorded({ spanId: id(n), ...(n > 1 ? { parentSpanId: id(n - 1) } : {}) })
    }
    let count = 0
    let depth = 0
    const walk = (nodes: SpanNode[], level: number): void => {
      depth = Math.max(depth, level)
      for (const node of nodes) {
        count += 1
        walk(node.children, level + 1)
      }
    }
    walk(roots(), 1)
    expect(count).toBe(3_000)
    expect(depth).toBeLessThan(300)
  })

  it('are seen in their realm only, and cleared by the owner only', () => {
    recorded({ name: 'mine' })
    recorded({ name: 'theirs', realm: 'realm-b' })
    expect(listed().map((found) => found.name)).toEqual(['mine'])
    expect(roots().map((found) => found.name)).toEqual(['mine'])
    expect(roots(TRACE, { ...OWNER, realm: 'realm-b' }).map((found) => found.name)).toEqual(['theirs'])
    expect(host.error('engine::traces::clear', {}).code).toBe('forbidden')
    expect(host.value('engine::traces::clear', {}, OWNER)).toEqual({ success: true })
    expect(listed()).toEqual([])
    expect(listed({}, { ...OWNER, realm: 'realm-b' })).toHaveLength(1)
  })

  it('are written to the disk in bulk, and read from there and from memory', () => {
    const time = { now: () => Date.now(), precise: () => Date.now(), monotonic: () => 0 }
    const disk = new MemoryTraceStore({ clock: time })
    const batches: number[] = []
    const spying: TraceStore = {
      append: (spans) => {
        batches.push(spans.length)
        disk.append(spans)
      },
      byTrace: (traceId, maxBytes, done) => disk.byTrace(traceId, maxBytes, done),
      list: (query, done) => disk.list(query, done),
      clear: (realm, done) => disk.clear(realm, done),
    }
    boot({ disk: spying })
    for (let n = 0; n < 300; n += 1) recorded({ startMs: Date.now(), endMs: Date.now() })
    expect(batches).toEqual([256])
    host.time.advance(200)
    expect(batches).toEqual([256, 44])
    recorded({ name: 'fresh', startMs: Date.now(), endMs: Date.now() })
    expect(roots()).toHaveLength(301)
    expect(listed({ name: 'fresh' })).toHaveLength(1)
  })

  it('are refused past the bound of an answer, naming what pages', () => {
    for (const disk of [
      undefined,
      new MemoryTraceStore({ clock: { now: Date.now, precise: Date.now, monotonic: () => 0 } }),
    ]) {
      boot({ maxAnswerBytes: 4_000, ...(disk ? { disk } : {}) })
      for (let n = 0; n < 5; n += 1)
        recorded({ startMs: Date.now(), endMs: Date.now(), attributes: { note: 'x'.repeat(900) } })
      expect(host.error('engine::traces::list', {})).toMatchObject({
        code: 'payload_too_large',
        message: expect.stringContaining('engine::traces::list {offset, limit}, with a limit up to 3'),
      })
      expect(listed({ limit: 3 })).toHaveLength(3)
      expect(listed({ limit: 3, offset: 3 })).toHaveLength(2)
      expect(host.error('engine::traces::tree', { trace_id: TRACE })).toMatchObject({
        code: 'payload_too_large',
        message: expect.stringContaining('engine::traces::list {trace_id, search_all_spans: true, offset, limit}'),
      })
    }
  })

  it('are shown from memory where the disk fails', () => {
    const error = { code: 'store_unavailable', message: 'no disk' }
    boot({
      disk: {
        append: () => {},
        byTrace: (_traceId, _maxBytes, done) => done({ spans: [], cut: false }, error),
        list: (_query, done) => done({ spans: [], total: 0, cut: false }, error),
        clear: (_realm, done) => done(error),
      },
    })
    recorded({ name: 'kept' })
    expect(listed().map((found) => found.name)).toEqual(['kept'])
    expect(roots().map((found) => found.name)).toEqual(['kept'])
    expect(host.error('engine::traces::clear', {}, OWNER).code).toBe('store_unavailable')
  })
})

describe('what is not recorded', () => {
  it('is a known secret, wherever it stands, before anything is cut', () => {
    const secrets = new KnownSecrets()
    secrets.learn('sk-hunter2')
    boot({ secrets })
    const text = `${'x'.repeat(1_020)}sk-hunter2`
    recorded({
      name: 'call sk-hunter2',
      statusMessage: 'key sk-hunter2 refused',
      attributes: { 'sk-hunter2': 'a', text },
    })
    const all = JSON.stringify(listed())
    expect(all).not.toContain('hunter2')
    expect(all).not.toContain('sk-h')
    expect(all).toContain('key [redacted] refused')
    secrets.learn('second.secret+')
    recorded({ name: 'second.secret+ second_secretx' })
    expect(listed({ name: 'second' }).map((found) => found.name)).toEqual(['[redacted] second_secretx'])
    host.value('engine::log::info', { message: 'has sk-hunter2', data: { deep: [{ key: 'sk-hunter2' }] } })
    expect(JSON.stringify(host.value('engine::logs::list', {}))).not.toContain('hunter2')
    expect(JSON.stringify(host.logged)).not.toContain('hunter2')
  })

  it('is a known secret in base64, hex or percent-encoded, in metadata as JSON, and split over the fields of a log', () => {
    const key = 'sk-"quoted"/key+of 0123456789'
    const secrets = new KnownSecrets()
    secrets.learn(key)
    boot({ secrets })
    const forms = [
      JSON.stringify({ authorization: key }),
      Buffer.from(key).toString('base64'),
      Buffer.from(`user:${key}`).toString('base64'),
      Buffer.from(key).toString('hex'),
      encodeURIComponent(key),
    ]
    for (const metadata of forms) recorded({ attributes: { metadata }, statusMessage: metadata })
    for (const message of forms) host.value('engine::log::info', { message, data: { metadata: { deep: [message] } } })
    host.value('engine::log::warn', {
      message: 'split',
      data: { user: 'me', first: key.slice(0, 11), last: key.slice(11) },
    })
    const { logs } = host.value('engine::logs::list', {}) as { logs: { attributes: object }[] }
    const all = JSON.stringify([listed(), logs, host.logged])
    for (const form of [key, ...forms, key.slice(0, 11), key.slice(11)]) {
      expect(all).not.toContain(JSON.stringify(form).slice(1, -1))
    }
    expect(logs.at(-1)!.attributes).toEqual({ user: 'me', first: '[redacted]', last: '[redacted]' })
  })

  it('is a secret of which a worker told the fingerprint, and nobody else', () => {
    const secrets = new KnownSecrets()
    host = new TestHost([createTracesModule({ version: '0', secrets }), createSecretsModule(secrets)])
    const worker = new KnownSecrets()
    worker.learn('smtp://me:hunter2@mail.example')
    const { fingerprints } = worker
    expect(host.error('engine::secrets::learn', { fingerprints }).code).toBe('forbidden')
    host.value('engine::log::info', { message: 'before: hunter2' })
    host.value('engine::secrets::learn', { fingerprints }, { worker: 'toolbox', kind: 'system' })
    host.value('engine::log::info', { message: 'after: hunter2' })
    const { logs } = host.value('engine::logs::list', {}) as { logs: { body: string }[] }
    expect(logs.map(({ body }) => body)).toEqual(['before: hunter2', 'after: [redacted]'])
    const wrong = host.error('engine::secrets::learn', { fingerprints: [{}] }, { worker: 'toolbox', kind: 'system' })
    expect(wrong.code).toBe('deserialization_error')
  })

  it('is a payload, unless switched on', () => {
    const attributes = {
      'iii.function.input': '{"a":1}',
      'gen_ai.output': 'text',
      tokens_output: 5,
      content_type: 'json',
    }
    recorded({ attributes })
    expect(listed()[0]!.attributes).toEqual([
      ['tokens_output', 5],
      ['content_type', 'json'],
    ])
    boot({ settings: { recordPayloads: true } })
    recorded({ attributes })
    expect(listed()[0]!.attributes).toHaveLength(4)
  })

  it('is more than the bounds of a span', () => {
    const attributes = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`k${n}`, 'v'.repeat(5_000)]))
    recorded({ name: 'n'.repeat(5_000), attributes })
    const [found] = listed()
    expect(found!.name).toHaveLength(256)
    expect(found!.attributes).toHaveLength(64)
    expect(found!.attributes[0]![1]).toHaveLength(1_024)
  })

  it('is what the sampling leaves out: whole traces, but no failure', () => {
    boot({ settings: { sampling: 0.5 } })
    const low = `${'0'.repeat(31)}1`
    const high = `${'0'.repeat(24)}ffffffff`
    for (const traceId of [low, high]) {
      recorded({ traceId, name: 'a' })
      recorded({ traceId, name: 'b' })
      recorded({ traceId, name: 'failed', status: 'error' })
    }
    expect(roots(low)).toHaveLength(3)
    expect(roots(high).map((found) => found.name)).toEqual(['failed'])
  })

  it('is what goes over the rate', () => {
    boot({ settings: { spansPerSecond: 10 } })
    for (let n = 0; n < 100; n += 1) recorded()
    expect(roots()).toHaveLength(10)
    host.time.advance(1_000)
    const ids = Array.from({ length: 100 }, (_, n) =>
      Math.floor((n / 100) * 2 ** 32)
        .toString(16)
        .padStart(32, '0'),
    )
    for (const traceId of ids) recorded({ traceId })
    expect(listed({ trace_ids: ids })).toHaveLength(10)
    expect(host.value('engine::health::check', {})).toMatchObject({
      status: 'healthy',
      components: { spans: { status: 'healthy', details: { not_sampled: expect.any(Number) } } },
      version: '0.1.0',
    })
  })
})

describe('spans of workers over OTLP', () => {
  const request = (spans: object[]) => ({
    resourceSpans: [
      {
        resource: { attributes: [{ key: 'service.name', value: { stringValue: 'billing' } }] },
        scopeSpans: [{ scope: { name: 's' }, spans }],
      },
    ],
  })
  const otlp = (more: object = {}) => ({
    traceId: TRACE.toUpperCase(),
    spanId: '1'.repeat(16),
    parentSpanId: '2'.repeat(16),
    name: 'charge',
    kind: 1,
    startTimeUnixNano: '1795363200000000000',
    endTimeUnixNano: '1795363200250000000',
    attributes: [
      { key: 'text', value: { stringValue: 'x' } },
      { key: 'int', value: { intValue: '42' } },
      { key: 'double', value: { doubleValue: 1.5 } },
      { key: 'bool', value: { boolValue: true } },
      { key: 'list', value: { arrayValue: { values: [{ stringValue: 'a' }] } } },
    ],
    status: { code: 2, message: 'declined' },
    ...more,
  })

  it('join the trace of the engine', () => {
    recorded({ spanId: '2'.repeat(16), name: 'root' })
    expect(traces.ingestOtlp(request([otlp()]), { realm: 'realm-default' })).toBe(1)
    expect(roots()).toMatchObject([
      {
        name: 'root',
        children: [
          {
            name: 'charge',
            service_name: 'billing',
            status: 'error',
            status_description: 'declined',
            end_time_unix_nano: 1_795_363_200_250_000_000,
            attributes: [
              ['text', 'x'],
              ['int', 42],
              ['double', 1.5],
              ['bool', true],
              ['list', '{"values":[{"stringValue":"a"}]}'],
            ],
          },
        ],
      },
    ])
  })

  it('bear the name and realm of their connection, whatever they say', () => {
    traces.ingestOtlp(request([otlp()]), { service: 'memory', realm: 'realm-b' })
    expect(roots()).toEqual([])
    expect(roots(TRACE, { realm: 'realm-b' })).toMatchObject([{ service_name: 'memory' }])
  })

  it('of guests bear no name of others, and stay in their realm whatever trace they name', () => {
    recorded({ name: 'ours' })
    traces.ingestOtlp(request([otlp()]), { realm: 'realm-guest', guest: true })
    expect(roots(TRACE, OWNER).map((found) => found.name)).toEqual(['ours'])
    const [theirs] = roots(TRACE, { ...OWNER, realm: 'realm-guest' })
    expect(theirs!.service_name).toMatch(/^guest\//)
  })

  it('of guests are so many a minute; the rest is counted, and nobody else’s is dropped', () => {
    traces = createTracesModule({ version: '0' })
    host = new TestHost([traces], { guestLimits: { spans_per_minute: 3 } })
    const guest = { realm: 'realm-guest', guest: true }
    const two = request([otlp(), otlp({ spanId: '4'.repeat(16) })])
    expect([1, 2, 3].map(() => traces.ingestOtlp(two, guest))).toEqual([2, 1, 0])
    expect(traces.ingestOtlp(two, { realm: 'realm-default' })).toBe(2)
    host.time.advance(60_000)
    expect(host.logged).toMatchObject([{ message: expect.stringContaining('left out'), fields: { spans: 3 } }])
    expect(traces.ingestOtlp(two, guest)).toBe(2)
  })

  it('are left out where they are malformed', () => {
    const bad = [
      otlp({ traceId: 'xyz' }),
      otlp({ spanId: '0'.repeat(16) }),
      otlp({ startTimeUnixNano: 'soon' }),
      otlp({ name: 7 }),
      null,
      'span',
    ]
    expect(traces.ingestOtlp(request(bad as object[]), { realm: 'realm-default' })).toBe(0)
    for (const nonsense of [null, 1, 'x', [], {}, { resourceSpans: {} }, { resourceSpans: [1, { scopeSpans: 'x' }] }]) {
      expect(traces.ingestOtlp(nonsense, { realm: 'realm-default' })).toBe(0)
    }
  })
})

describe('the live view', () => {
  it('sends spans of its realm as they end, without those of the engine', () => {
    const results = host.start('engine::traces::watch', { stream: REF })
    recorded({ name: 'a' })
    recorded({ name: 'b', realm: 'realm-b' })
    recorded({ name: 'engine::functions::list' })
    expect(writer.frames.map((frame) => [frame.type, frame.span?.name])).toEqual([['span', 'a']])
    expect(results).toEqual([])
  })

  it('begins with what is known of its trace, each span once, sampled or not', () => {
    boot({ settings: { sampling: 0 } })
    recorded({ name: 'failed', status: 'error' })
    host.start('engine::traces::watch', { stream: REF, trace_id: TRACE })
    recorded({ name: 'next' })
    recorded({ name: 'other trace', traceId: 'c'.repeat(32) })
    expect(writer.frames.map((frame) => frame.span?.name)).toEqual(['failed', 'next'])
  })

  it('drops spans for a slow reader and says how many', () => {
    host.start('engine::traces::watch', { stream: REF })
    writer.room = 1
    for (const name of ['a', 'b', 'c']) recorded({ name })
    writer.drain()
    recorded({ name: 'd' })
    expect(writer.frames.map((frame) => frame.span?.name ?? frame.spans)).toEqual(['a', 2, 'd'])
  })

  it('ends when the reader leaves, when it is cancelled, and before its deadline', () => {
    const left = host.start('engine::traces::watch', { stream: REF })
    writer.aborted = true
    recorded()
    expect(left).toMatchObject([{ ok: true }])
    boot()
    const handle = host.core.invoke({
      functionId: 'engine::traces::watch',
      payload: { value: { stream: REF } },
      context: host.context(),
      onResult: () => {},
    })
    handle.cancel('gone')
    expect(writer.ended).toBe(true)
    boot()
    const results: unknown[] = []
    host.core.invoke({
      functionId: 'engine::traces::watch',
      payload: { value: { stream: REF } },
      context: { ...host.context(), deadline: host.time.monotonic() + 60_000 },
      onResult: (result) => results.push(result),
    })
    host.time.advance(60_000)
    expect(results).toMatchObject([{ ok: true }])
    recorded()
    expect(writer.frames).toEqual([])
  })

  it('is bounded in readers, and needs a channel', () => {
    for (let n = 0; n < 100; n += 1) host.start('engine::traces::watch', { stream: REF })
    expect(host.error('engine::traces::watch', { stream: REF }).code).toBe('overloaded')
    boot()
    expect(host.error('engine::traces::watch', {}).message).toContain('stream=true')
  })
})

describe('logs, baggage and metrics', () => {
  it('keep records of each level, found by level, trace and time', () => {
    for (const level of ['trace', 'debug', 'info', 'warn', 'error']) {
      expect(host.call(`engine::log::${level}`, { message: level, data: { level } }, { traceId: TRACE })).toEqual({
        ok: true,
        payload: undefined,
      })
    }
    const result = host.value('engine::logs::list', {}) as { logs: object[]; total: number }
    expect(result.total).toBe(5)
    expect(result.logs[3]).toMatchObject({
      severity_number: 13,
      severity_text: 'WARN',
      body: 'warn',
      attributes: { level: 'warn' },
      trace_id: TRACE,
      span_id: null,
      resource: {},
      service_name: 'guest/unknown',
    })
    const bodies = (input: object) =>
      (host.value('engine::logs::list', input) as { logs: { body: string }[] }).logs.map((log) => log.body)
    expect(bodies({ severity_min: 13 })).toEqual(['warn', 'error'])
    expect(bodies({ severity_text: 'info' })).toEqual(['info'])
    expect(bodies({ trace_id: 'x' })).toEqual([])
    expect(bodies({ offset: 1, limit: 2 })).toEqual(['debug', 'info'])
    expect(bodies({ start_time: host.time.now() + 1 })).toEqual([])
    expect(host.logged.map((entry) => entry.level)).toEqual(['debug', 'debug', 'info', 'warn', 'error'])
    expect(host.error('engine::log::info', {}).code).toBe('deserialization_error')
  })

  it('keep log records to their realm and within their number', () => {
    boot({ settings: { logRecords: 3 } })
    for (let n = 0; n < 5; n += 1) host.value('engine::log::info', { message: `m${n}` })
    expect(host.value('engine::logs::list', {})).toMatchObject({ total: 3, logs: [{ body: 'm2' }, {}, { body: 'm4' }] })
    expect(host.value('engine::logs::list', {}, { realm: 'realm-b' })).toMatchObject({ total: 0 })
    expect(host.error('engine::logs::clear', {}).code).toBe('forbidden')
    expect(host.value('engine::logs::clear', {}, OWNER)).toEqual({ success: true })
    expect(host.value('engine::logs::list', {})).toMatchObject({ total: 0 })
  })

  const write = (message: string, as: object, more: object = {}) =>
    host.value('engine::log::info', { message, ...more }, as)

  it('of one realm displace none of another', () => {
    write('ours', OWNER)
    const text = 'x'.repeat(10_000)
    const held = (realm: string) => {
      const as = { ...OWNER, realm }
      const { total, logs } = host.value('engine::logs::list', {}, as) as { total: number; logs: { body: string }[] }
      return total * logs[0]!.body.length
    }
    for (let n = 0; n < 600; n += 1) write(text, { kind: 'guest', realm: 'realm-guest' })
    expect(host.value('engine::logs::list', {}, OWNER)).toMatchObject({ total: 1, logs: [{ body: 'ours' }] })
    expect(held('realm-guest')).toBeGreaterThan(1_000_000)
    const others = [...Array(12).keys()].map((n) => `realm-${n}`)
    for (const realm of others) for (let n = 0; n < 600; n += 1) write(text, { ...OWNER, realm })
    expect(host.value('engine::logs::list', {}, OWNER)).toMatchObject({ total: 1 })
    expect(others.reduce((sum, realm) => sum + held(realm), 0)).toBeLessThan(17 * 1024 * 1024)
  })

  it('of guests go to the engine’s log up to a bound, and what was left out is told with the next minute', () => {
    const guest = { kind: 'guest', realm: 'realm-guest' }
    for (let n = 0; n < 100; n += 1) write('y'.repeat(2_000), guest)
    const told = host.logged.length
    expect(told).toBeGreaterThan(20)
    expect(told).toBeLessThan(40)
    write('the owner is heard', OWNER)
    expect(host.logged.at(-1)!.message).toBe('the owner is heard')
    host.time.advance(60_000)
    write('again', guest)
    expect(host.logged.slice(-2).map(({ message }) => message)).toEqual([expect.stringContaining('left out'), 'again'])
    expect(host.logged.at(-2)!.fields).toEqual({ records: 100 - told })
  })

  it('of guests bear no name of others; those of workers have theirs', () => {
    const named = { service_name: 'memory' }
    write('a', { kind: 'guest' }, named)
    write('b', OWNER, named)
    write('c', { ...OWNER, worker: 'memory' }, { service_name: 'ledger' })
    const { logs } = host.value('engine::logs::list', {}) as { logs: { service_name: string }[] }
    expect(logs.map((log) => log.service_name)).toEqual(['guest/memory', 'memory', 'memory'])
  })

  it('show the baggage of the call', () => {
    const as = { baggage: 'user=a%20b;p=1, tier = gold ,broken' }
    expect(host.value('engine::baggage::get', { key: 'user' }, as)).toEqual({ value: 'a b' })
    expect(host.value('engine::baggage::get', { key: 'none' }, as)).toEqual({ value: null })
    expect(host.value('engine::baggage::get_all', {}, as)).toEqual({ baggage: { user: 'a b', tier: 'gold' } })
    expect(host.value('engine::baggage::get_all', {})).toEqual({ baggage: {} })
    expect(host.value('engine::baggage::set', { key: 'a', value: 'b' })).toMatchObject({ success: true })
  })

  it('count calls and measure the latest', () => {
    for (let n = 1; n <= 100; n += 1) {
      const startMs = host.time.now() - n
      recorded({ name: 'app::a', startMs, endMs: host.time.now(), status: n > 90 ? 'error' : 'ok' })
    }
    recorded({ kind: 'worker' })
    const result = host.value('engine::metrics::list', {}, OWNER)
    expect(result).toMatchObject({
      engine_metrics: {
        invocations: { total: 100, success: 90, error: 10, deferred: 0, by_function: { 'app::a': 100 } },
        workers: { spawns: 0, deaths: 0, active: 0 },
        performance: { avg_duration_ms: 50.5, p50_duration_ms: 51, min_duration_ms: 1, max_duration_ms: 100 },
      },
      sdk_metrics: [],
    })
  })
})
