import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { loadConfig, parseConfig } from './config.ts'

const III = `
modules:
  - name: iii-worker-manager
    config: { host: 127.0.0.1, port: "\${WORKERS_PORT:49134}" }
workers:
  - name: iii-http
    config:
      port: 3111
      default_timeout: 1500
      cors: { allowed_origins: ["http://localhost:5173"] }
  - name: iii-state
  - name: llm-router
    config: { defaultModel: "\${MODEL}" }
`

function queueFile(queues: string): string {
  return `workers: [{ name: iii-queue, config: { queue_configs: { ${queues} } } }]`
}

function entry(name: string, config: string): string {
  return `workers: [{ name: ${name}, config: { ${config} } }]`
}

describe('config.yaml', () => {
  it('is read in the iii layout, with variables and their defaults', () => {
    const config = parseConfig(III, { MODEL: 'openai/gpt-x' })
    expect(config.manager).toEqual({ host: '127.0.0.1', port: 49_134 })
    expect(config.http).toMatchObject({ port: 3111, defaultTimeoutMs: 1500, allowedOrigins: ['http://localhost:5173'] })
    expect([config.state, config.pubsub, config.cron]).toEqual([true, false, false])
    expect(config.workers.get('llm-router')).toEqual({ defaultModel: 'openai/gpt-x' })
    expect(parseConfig(III, { MODEL: 'm', WORKERS_PORT: '5000' }).manager.port).toBe(5000)
  })

  it('is the default installation where there is none', () => {
    const config = loadConfig('/nowhere/config.yaml', {})
    expect(config.http).toMatchObject({ guests: true, bodyBytes: 4 * 1024 * 1024 })
    expect([config.state, config.pubsub, config.cron]).toEqual([true, true, true])
    expect(config.agentos.traces).toMatchObject({ record_payloads: false, sampling: 1 })
  })

  it('lets guests in with all that they can, with a part of it, or not at all', () => {
    const guests = (text: string) => parseConfig(`{ agentos: { ${text} } }`, {}).agentos.guests
    for (const text of ['', 'guests: true', 'guests: {}']) {
      expect(guests(text)).toMatchObject({ allow: { chat: true, register: true, state: true } })
    }
    expect(guests('guests: { allow: { state: false } }')).toMatchObject({ allow: { chat: true, state: false } })
    expect(guests('guests: false')).toBe(false)
  })

  it('names queues, and one is always there', () => {
    const queues = parseConfig(queueFile('mail: { type: fifo, message_group_field: to, max_retries: 0 }'), {}).queues!
    expect([...queues.keys()]).toEqual(['default', 'mail'])
    expect(queues.get('mail')).toMatchObject({ fifo: true, groupField: 'to', maxAttempts: 1, concurrency: 10 })
    expect(parseConfig(queueFile('default: { concurrency: 2 }'), {}).queues!.get('default')!.concurrency).toBe(2)
    expect(parseConfig(III, { MODEL: 'm' }).queues).toBeUndefined()
  })

  it('lets guests in, keeps them out, or lets them in with bounds of their own', () => {
    const guests = (yaml: string) => parseConfig(`agentos: { guests: ${yaml} }\nworkers: [{ name: iii-http }]`, {})
    expect(guests('true').http).toMatchObject({ guests: true })
    expect(guests('false').http).toMatchObject({ guests: false })
    const { http, agentos } = guests('{ limits: { in_flight: 5, schedules: 0 } }')
    expect(http).toMatchObject({ guests: true })
    expect(agentos.guests).toMatchObject({ limits: { in_flight: 5, schedules: 0 } })
  })

  it.each([
    [
      'a bound of guests that is none',
      'agentos: { guests: { limits: { in_flight: 0 } } }',
      /guests\.limits\.in_flight/,
    ],
    ['a bound of guests that is text', 'agentos: { guests: { limits: { channels: x } } }', /guests\.limits\.channels/],
    ['a bound of guests that is unknown', 'agentos: { guests: { limits: { callz: 1 } } }', /guests\.limits.*callz/],
    ['a setting of guests that is unknown', 'agentos: { guests: { limit: {} } }', /guests.*limit/],
    ['guests that are neither', 'agentos: { guests: maybe }', /agentos\.guests/],
    ['a variable that is not set', III, /MODEL/],
    ['no YAML', 'workers: [', /not valid YAML/],
    ['a key that nobody knows', 'agentos: { gests: false }', /gests/],
    [
      'a power of guests that nobody knows',
      'agentos: { guests: { allow: { chatt: true } } }',
      /agentos\.guests\.allow.*chatt/,
    ],
    [
      'guests that are no table',
      'agentos: { guests: no }',
      /agentos\.guests: it is `false`.*or a table.*allow, limits.*"no"/,
    ],
    ['guests that are text', "agentos: { guests: 'false' }", /agentos\.guests: it is `false`/],
    ['guests that are nothing', 'agentos: { guests: }', /agentos\.guests: it is `false`/],
    ['a wrong value', 'agentos: { limits: { frame_bytes: 3 } }', /agentos\.limits\.frame_bytes/],
    ['a port that is none', 'workers: [{ name: iii-worker-manager, config: { port: 99999 } }]', /iii-worker-manager/],
    ['a wrong setting of HTTP', 'workers: [{ name: iii-http, config: { prot: 1 } }]', /iii-http/],
    ['a module that comes later', 'workers: [{ name: iii-stream }]', /iii-stream.*does not have/],
    [
      'a wrong setting of a queue',
      queueFile('jobs: { concurency: 1 }'),
      /iii-queue, at queue_configs\.jobs.*concurency/,
    ],
    ['a fifo queue without groups', queueFile('jobs: { type: fifo }'), /jobs\.message_group_field/],
    ['an adapter that is not there', 'workers: [{ name: queue, config: { adapter: { name: redis } } }]', /builtin/],
    ['a state that lies elsewhere', entry('iii-state', 'adapter: { name: bridge }'), /iii-state, at adapter\.name/],
    [
      'a state in a file of its own',
      entry('state', 'adapter: { name: kv, config: { file_path: data/kv.db } }'),
      /state, at adapter\.config.*file_path/,
    ],
    ['a schedule that others lock', entry('iii-cron', 'adapter: { name: redis }'), /iii-cron, at adapter\.name/],
    ['topics that others carry', entry('pubsub', 'adapter: { name: redis }'), /pubsub, at adapter\.name/],
    ['rules for who connects', entry('iii-worker-manager', 'rbac: { auth_function_id: a::b }'), /manager, at rbac/],
    ['a middleware for calls', entry('iii-worker-manager', 'middleware_function_id: a::b'), /middleware_function_id/],
    ['a second listener', 'workers: [{ name: iii-worker-manager }, { name: iii-worker-manager }]', /second time/],
    ['one module under both its names', 'workers: [{ name: iii-http }, { name: http }]', /http a second time/],
    ['the settings of the newer layout', 'workers: [{ name: configuration }]', /configuration.*does not have/],
    ['an exporter that is not there', entry('iii-observability', 'exporter: otlp'), /exported nowhere/],
    ['telemetry for somebody', entry('iii-telemetry', 'enabled: true'), /nothing is sent/],
    ['a container', 'workers: [{ name: memory, image: "ghcr.io/a/b:1" }]', /memory, at image/],
    ['a worker that is not installed', 'workers: [{ name: memry }]', /memry.*nor an installed worker/],
    [
      'processes of a worker that is not installed',
      'agentos: { workers: { memry: { instances: 2 } } }',
      /agentos\.workers\.memry/,
    ],
    ['several mistakes at once', 'workers: [{ name: memry }, { name: iii-exec }]', /memry.*iii-exec/],
  ])('with %s is refused, and says where', (_name, text, said) => {
    expect(() => parseConfig(text, {}, new Set(['memory', 'llm-router']))).toThrow(said)
  })

  it('takes what the layout says of a single engine that keeps its own values', () => {
    const text = `workers:
  - { name: iii-state, config: { adapter: { name: kv, config: { store_method: file_based } } } }
  - { name: iii-cron, config: { adapter: { name: kv, config: { lock_ttl_ms: 30000, lock_index: cron_locks } } } }
  - { name: iii-pubsub, config: { adapter: { name: local } } }
  - { name: iii-queue, config: { adapter: { name: builtin, config: { store_method: in_memory } } } }
  - { name: iii-observability, config: { enabled: true, exporter: memory, sampling_ratio: 0.5 } }
  - { name: iii-http, config: { cors: { allowed_methods: [get, POST] } } }
`
    const config = parseConfig(text, {})
    expect(config.agentos.traces.sampling).toBe(0.5)
    expect(config.http).toMatchObject({ crossOriginMethods: ['GET', 'POST'] })
  })

  it.each([
    ['of the HTTP entry', 'workers: [{ name: iii-http, config: { cors: { allowed_origins: ["*"] } } }]'],
    ['of the engine', 'agentos: { allowed_origins: ["*"] }'],
  ])('welcomes no page from anywhere, and says what to write instead, %s', (_where, text) => {
    expect(() => parseConfig(text, {})).toThrow(/allowed_origins.*name each origin that is welcome/s)
  })

  it('beside a folder of settings in the newer layout is refused, and names the files', () => {
    const folder = mkdtempSync(join(tmpdir(), 'agentos-config-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    mkdirSync(join(folder, 'config'))
    writeFileSync(join(folder, 'config.yaml'), 'workers: [{ name: http }]')
    writeFileSync(join(folder, 'config', 'mine.yaml'), 'port: 1')
    expect(loadConfig(join(folder, 'config.yaml'), {}).http).toBeDefined()
    writeFileSync(join(folder, 'config', 'http.yaml'), 'port: 1')
    expect(() => loadConfig(join(folder, 'config.yaml'), {})).toThrow('config/http.yaml')
    rmSync(join(folder, 'config', 'http.yaml'))
    writeFileSync(join(folder, 'config', 'llm-router.yml'), 'defaultModel: m')
    const installed = new Set(['llm-router'])
    expect(() => loadConfig(join(folder, 'config.yaml'), {}, installed)).toThrow('config/llm-router.yml')
  })
})
