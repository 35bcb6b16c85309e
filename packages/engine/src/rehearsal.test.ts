import type { WorkerDescriptor } from '@agentos/protocol'
import { describe, expect, it } from 'vitest'
import { descriptor } from '../test/host.ts'
import { rehearse } from './rehearsal.ts'

type Declared = WorkerDescriptor['triggers'][number]

const weather = (type: string, config: unknown, more: Partial<WorkerDescriptor> = {}): WorkerDescriptor =>
  descriptor({
    name: 'weather',
    triggers: [{ type, function_id: 'weather::note', config } satisfies Declared],
    ...more,
  })

const security = descriptor({ name: 'security', owns: { scopes: ['audit'], streams: [], topics: ['audit'] } })

const served = (id: string, path: string): WorkerDescriptor['functions'][number] => ({
  id,
  summary: '',
  request_format: {},
  response_format: {},
  effects: 'read',
  idempotent: false,
  tool: false,
  access: 'guest',
  http: [{ method: 'GET', path, status: 200, raw: false, stream: false }],
})

describe('a rehearsal of manifests', () => {
  it.each([
    [
      'a misspelt type',
      'subscirbe',
      { topic: 'a' },
      ['triggers', 0, 'type'],
      /trigger type subscirbe; .*cron.*subscribe/,
    ],
    ['a misspelt key', 'subscribe', { topik: 'a' }, ['triggers', 0, 'config', 'topik'], /no topik; there is topic/],
    [
      'a misspelt key beside what is needed',
      'cron',
      { expression: '@daily', timezon: 'UTC' },
      ['triggers', 0, 'config', 'timezon'],
      /timezone/,
    ],
    [
      'a misspelt key further in',
      'durable:subscriber',
      { topic: 'a', queue_config: { maxRetrys: 1 } },
      ['triggers', 0, 'config', 'queue_config', 'maxRetrys'],
      /maxRetries/,
    ],
    ['a key that is missing', 'subscribe', {}, ['triggers', 0, 'config'], /missing field `topic`/],
    ['an expression that is none', 'cron', { expression: '61 * * * *' }, ['triggers', 0, 'config'], /61/],
    [
      'another worker’s topic',
      'subscribe',
      { topic: 'audit' },
      ['triggers', 0, 'config'],
      /belongs to the worker security/,
    ],
    [
      'another worker’s durable topic',
      'durable:subscriber',
      { topic: 'audit' },
      ['triggers', 0, 'config'],
      /belongs to the worker security/,
    ],
    [
      'another worker’s scope',
      'state',
      { scope: 'audit' },
      ['triggers', 0, 'config'],
      /belongs to the worker security/,
    ],
    [
      'a path of the engine',
      'http',
      { api_path: '/v1/engine/workers' },
      ['triggers', 0, 'config'],
      /belongs to the engine/,
    ],
  ])('finds %s', (_, type, config, path, message) => {
    expect(rehearse([security, weather(type, config)])).toMatchObject([
      { worker: 'weather', path, message: expect.stringMatching(message) },
    ])
  })

  it('has nothing against what stands', () => {
    const own = { owns: { scopes: ['w'], streams: [], topics: ['w.seen'] } }
    for (const [type, config] of [
      ['cron', { expression: '0 3 * * *', timezone: 'Europe/Berlin', catchUp: false }],
      ['subscribe', { topic: 'w.seen' }],
      ['durable:subscriber', { topic: 'w.seen', queue_config: { type: 'fifo', messageGroupField: 'lane' } }],
      ['state', { scope: 'w' }],
      ['http', { api_path: '/w/:id', http_method: 'POST' }],
    ] as const) {
      expect(rehearse([security, weather(type, config, own)])).toEqual([])
    }
  })

  it('finds a route of a contract that is taken', () => {
    const one = descriptor({ name: 'one', functions: [served('one::f', '/v1/things')] })
    const two = descriptor({ name: 'two', functions: [served('two::f', '/v1/things')] })
    expect(rehearse([one, two])).toMatchObject([
      { worker: 'two', functionId: 'two::f', path: [], message: expect.stringMatching(/GET \/v1\/things .*one/) },
    ])
  })

  it('names the later of two that declare the same', () => {
    const [one, two] = ['one', 'two'].map((name) => descriptor({ name, functions: [served('a::f', `/v1/${name}`)] }))
    expect(rehearse([one!, two!])).toMatchObject([{ worker: 'two', message: expect.stringContaining('a::f') }])
  })
})
