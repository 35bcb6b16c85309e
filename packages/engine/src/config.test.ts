import { describe, expect, it } from 'vitest'
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
      cors: { allowed_origins: ["*", "http://localhost:5173"] }
  - name: iii-state
  - name: llm-router
    config: { defaultModel: "\${MODEL}" }
`

function queueFile(queues: string): string {
  return `workers: [{ name: iii-queue, config: { queue_configs: { ${queues} } } }]`
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

  it('names queues, and one is always there', () => {
    const queues = parseConfig(queueFile('mail: { type: fifo, message_group_field: to, max_retries: 0 }'), {}).queues!
    expect([...queues.keys()]).toEqual(['default', 'mail'])
    expect(queues.get('mail')).toMatchObject({ fifo: true, groupField: 'to', maxAttempts: 1, concurrency: 10 })
    expect(parseConfig(queueFile('default: { concurrency: 2 }'), {}).queues!.get('default')!.concurrency).toBe(2)
    expect(parseConfig(III, { MODEL: 'm' }).queues).toBeUndefined()
  })

  it.each([
    ['a variable that is not set', III, /MODEL/],
    ['no YAML', 'workers: [', /not valid YAML/],
    ['a key that nobody knows', 'agentos: { gests: false }', /gests/],
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
  ])('with %s is refused, and says where', (_name, text, said) => {
    expect(() => parseConfig(text, {})).toThrow(said)
  })
})
