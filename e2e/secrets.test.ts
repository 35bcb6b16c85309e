import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Supervised, type System, startSystem } from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ALL_WORKERS, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

const IN_ENVIRONMENT = 'sk-canary-from-the-environment-0123456789'
const PASTED = 'sk-canary-pasted-on-the-page-9876543210'
const OWN_SETTING = 'canary of a setting with a name of its own/+'
const MAIL_PASSWORD = 'canary-mail-p@ssw0rd'
const MAIL_URL = `smtp://me:${encodeURIComponent(MAIL_PASSWORD)}@127.0.0.1:9`
/** Everything that must stay with the worker that has it. */
const CANARIES = [IN_ENVIRONMENT, PASTED, OWN_SETTING, MAIL_PASSWORD, MAIL_URL]

/** A provider that repeats the key that it got, wherever an answer has room for it. */
function startEchoingProvider(): Promise<Server> {
  const server = createServer((request, response) => {
    request.resume()
    request.once('end', () => {
      const key = String(request.headers.authorization).replace('Bearer ', '')
      if (request.url?.includes('/plain/')) {
        response.writeHead(400, { 'content-type': 'text/plain' })
        // Cut to any length, it would end in the middle of the key.
        return response.end(`${'x'.repeat(480)}${key}${'y'.repeat(100)}`)
      }
      if (request.url?.includes('/base64/')) {
        response.writeHead(401, { 'content-type': 'application/json' })
        const forms = [key, `user:${key}`].map((text) => Buffer.from(text).toString('base64'))
        const words = [...forms, Buffer.from(key).toString('hex'), encodeURIComponent(key)]
        return response.end(JSON.stringify({ error: { message: `Not accepted: ${words.join(' ')}`, code: words[0] } }))
      }
      const error = { message: `Incorrect API key provided: ${key}. You sent ${key}.`, type: key, code: `no ${key}` }
      if (request.url?.includes('/stream/')) {
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        return response.end(`data: ${JSON.stringify({ error })}\n\n`)
      }
      response.writeHead(request.url?.includes('/down/') ? 500 : 401, { 'content-type': 'application/json' })
      return response.end(JSON.stringify({ error }))
    })
  })
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)))
}

let provider: Server
let system: System
/** Everything that anybody was answered. */
const answers: string[] = []

const ECHOES = ['refused', 'plain', 'stream', 'down', 'base64']

async function ask(
  method: string,
  path: string,
  body?: unknown,
  owner = true,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const reply = await system.api<Record<string, unknown>>(method, path, body, owner ? { owner, realm: 'guest' } : {})
  answers.push(reply.text, JSON.stringify([...reply.headers]))
  return reply
}

beforeAll(async () => {
  provider = await startEchoingProvider()
  const { port } = provider.address() as AddressInfo
  const base = (name: string, keyEnv: string) => ({
    baseUrl: `http://127.0.0.1:${port}/${name}/v1`,
    format: 'openai-chat',
    keyEnv,
  })
  const providers = Object.fromEntries(
    ECHOES.flatMap((name) => [
      [`env-${name}`, base(name, 'OPENAI_API_KEY')],
      [`pasted-${name}`, base(name, 'GROQ_API_KEY')],
      [`own-${name}`, base(name, 'MY_OWN_SETTING')],
    ]),
  )
  system = await startSystem({
    workers: ALL_WORKERS,
    env: { ...NO_LOCAL_MODELS, OPENAI_API_KEY: IN_ENVIRONMENT, SMTP_URL: MAIL_URL },
    workerEnv: { 'llm-router': { MY_OWN_SETTING: OWN_SETTING } },
    config: {
      workers: [NO_GUEST_BUDGET, { name: 'llm-router', config: { providers, retries: { baseMs: 10 } } }],
      agentos: { traces: { record_payloads: true } },
    },
    logLevel: 'trace',
  })
  expect((await ask('PUT', '/v1/llm/providers/groq/key', { key: PASTED })).status).toBe(200)
  // Mistakes with a key are answered without it.
  for (const body of [{ kee: PASTED }, { key: [PASTED] }, { key: PASTED.repeat(200) }, `{"key": "${PASTED}"`]) {
    expect((await ask('PUT', '/v1/llm/providers/groq/key', body)).status).toBeGreaterThanOrEqual(400)
  }
  await ask('PUT', '/v1/llm/providers/groq/key', { key: PASTED }, false)
  for (const source of ['env', 'pasted', 'own']) {
    for (const name of ECHOES) {
      const model = `${source}-${name}/some-model`
      const failed = await ask('POST', '/v1/chat', { message: 'hi', model }, false)
      expect([model, failed.status]).toEqual([model, expect.toSatisfy((status: number) => status >= 400)])
      expect(failed.body.code, model).toMatch(/^upstream_/)
      await ask('POST', '/v1/chat', { message: 'hi', model, stream: true }, false)
      await ask('POST', '/v1/chat/completions', { model, messages: [{ role: 'user', content: 'hi' }] }, false)
      await ask('POST', `/v1/llm/providers/${source}-${name}/test`, {})
    }
  }
})
afterAll(async () => {
  await system?.stop()
  provider?.close()
})

describe('a key of a provider that repeats it in every error', () => {
  const expectNone = (text: string, where: string): void => {
    for (const canary of [IN_ENVIRONMENT, PASTED, OWN_SETTING]) {
      for (const form of formsOf(canary)) expect(text.includes(form), `${where} holds ${form} of ${canary}`).toBe(false)
      // Not its beginning either: what was cut is not redacted.
      expect(text.includes(canary.slice(0, 18)), `${where} holds a part of ${canary}`).toBe(false)
    }
  }

  it('was really sent', () => {
    expect(answers.join('\n')).toContain('[key]')
  })

  it('is in no answer', () => {
    answers.forEach((text, index) => {
      expectNone(text, `answer ${index}`)
    })
  })

  it('is in no log of a process, at the finest level', () => {
    for (const name of ['engine', ...ALL_WORKERS]) expectNone(system.logs(name), `the log of ${name}`)
  })

  it('is in no trace, log record, metric, list or document', async () => {
    const before = answers.length
    const { body } = await ask('GET', '/v1/traces?search_all_spans=true&include_internal=true&limit=1000')
    const spans = body.spans as { trace_id: string }[]
    expect(spans.length).toBeGreaterThan(50)
    for (const id of new Set(spans.map((span) => span.trace_id))) await ask('GET', `/v1/traces/${id}`)
    for (const path of [
      '/metrics',
      '/openapi.json',
      '/ready',
      '/v1/engine/functions',
      '/v1/engine/workers',
      '/v1/llm/providers',
      '/v1/llm/models',
      '/v1/llm/usage',
      '/v1/models',
      '/v1/sessions?agentId=default',
    ]) {
      await ask('GET', path)
    }
    for (const functionId of [
      'engine::logs::list',
      'engine::workers::list',
      'engine::triggers::list',
      'state::list_groups',
      'security::verify_audit',
    ]) {
      await ask('POST', '/v1/functions/call', { functionId, payload: {} })
    }
    for (const text of answers.slice(before)) expectNone(text, text.slice(0, 80))
  })

  it('is in no file but secrets.json, which only its owner reads', async () => {
    // What is still on its way to the disk gets there.
    await system.engine.stop()
    const files = readdirSync(system.dataDir, { recursive: true, encoding: 'utf8' }).map((name) =>
      join(system.dataDir, name),
    )
    const found = files.filter((file) => statSync(file).isFile() && readFileSync(file, 'latin1').includes('sk-canary'))
    expect(found).toEqual([join(system.dataDir, 'secrets.json')])
    expect(statSync(found[0]!).mode & 0o777).toBe(0o600)
    await system.engine.start()
    await system.ready()
  })
})

describe('a secret of a worker, said to the engine by somebody else', () => {
  const everyForm = () => [...CANARIES, system.ownerToken].flatMap(formsOf)

  // Without a supervisor the engine hears of a secret from the worker that has it, once that is back.
  beforeAll(async () => {
    const connected = async (): Promise<string[]> => {
      const { body } = await system.api<{ workers: { name: string; status: string }[] }>('GET', '/v1/engine/workers')
      return body.workers.filter(({ status }) => status === 'up').map(({ name }) => name)
    }
    const all = expect.arrayContaining([...ALL_WORKERS])
    await vi.waitFor(async () => expect(await connected()).toEqual(all), { timeout: 30_000 })
  })

  it('is blanked in the log records of a guest, in the engine’s log, and where it is split over fields', async () => {
    const guest = system.client()
    const log = (payload: object) => guest.trigger({ function_id: 'engine::log::error', payload })
    for (const form of everyForm()) {
      await log({ message: `it was ${form}, sorry`, data: { err: { message: 'no', cause: { message: form } }, form } })
      const half = Math.floor(form.length / 2)
      await log({ message: 'split', data: { n: 1, first: form.slice(0, half), second: form.slice(half) } })
    }
    const listed = JSON.stringify(await guest.trigger({ function_id: 'engine::logs::list', payload: { limit: 1_000 } }))
    for (const form of everyForm()) {
      const half = Math.floor(form.length / 2)
      for (const text of [form, form.slice(0, half), form.slice(half)].map((part) =>
        JSON.stringify(part).slice(1, -1),
      )) {
        expect(listed.includes(text), `the records hold ${text}`).toBe(false)
        expect(system.logs('engine').includes(text), `the engine’s log holds ${text}`).toBe(false)
      }
    }
    expect(listed).toContain('it was [redacted], sorry')
  })

  it('is blanked in the error that a caller gets from a handler, and in its trace', async () => {
    const worker = system.client()
    const text = everyForm().join(' ')
    worker.registerFunction('canary::fail', async () => {
      throw new Error(text)
    })
    const failed = await system
      .client()
      .trigger({ function_id: 'canary::fail', payload: {} })
      .catch((error: Error) => error)
    const seen = [
      String(failed),
      JSON.stringify(failed),
      await system.api('GET', '/v1/traces?name=canary::fail').then((reply) => reply.text),
    ]
    expect(seen[0]).toContain('[redacted]')
    for (const form of everyForm()) for (const each of seen) expect(each.includes(form), form).toBe(false)
  })

  it('is not in the environment of the engine', async () => {
    if (process.platform !== 'linux') return
    const { pid } = system.engine
    const environment = readFileSync(`/proc/${pid}/environ`, 'latin1')
    for (const canary of [IN_ENVIRONMENT, MAIL_URL, OWN_SETTING]) expect(environment).not.toContain(canary)
  })
})

describe('a secret of a worker that is asleep', () => {
  it('is blanked all the same', async () => {
    const supervised = await Supervised.start({
      workers: ['toolbox'],
      manifests: { toolbox: { start: 'on-demand' } },
      env: { SMTP_URL: MAIL_URL },
    })
    try {
      const client = supervised.client()
      const message = `mail refused ${MAIL_PASSWORD}`
      await client.trigger({ function_id: 'engine::log::error', payload: { message } })
      expect(await supervised.process('toolbox')).toMatchObject({ state: 'asleep' })
      const listed = await client.trigger({ function_id: 'engine::logs::list', payload: {} })
      expect(listed).toMatchObject({ logs: [{ body: 'mail refused [redacted]' }] })
      expect(readFileSync(join(supervised.root, 'data/logs/engine.jsonl'), 'utf8')).not.toContain(MAIL_PASSWORD)
    } finally {
      await supervised.stop()
    }
  })
})

/** A value as it may stand in texts. */
function formsOf(value: string): string[] {
  const bytes = Buffer.from(value)
  return [
    value,
    bytes.toString('base64'),
    bytes.toString('base64url'),
    bytes.toString('hex'),
    encodeURIComponent(value),
  ]
}

describe('what lets its holder in', () => {
  it('is in no log, no trace and no state', async () => {
    const tokens = [system.ownerToken]
    for (const name of ALL_WORKERS) {
      tokens.push(readFileSync(join(system.dataDir, 'credentials', name), 'utf8').trim())
    }
    const { body } = await ask('POST', '/v1/auth/code', {})
    const session = await fetch(`${system.httpUrl}/v1/auth/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code: body.code }),
    })
    tokens.push(String(body.code), session.headers.get('set-cookie')!.split(/[=;]/)[1]!)
    const { text } = await system.api('GET', '/v1/traces?search_all_spans=true&include_internal=true&limit=1000')
    const everything = [text, system.logs(), ...stateFiles()].join('\n')
    for (const token of tokens) expect(everything.includes(token), token).toBe(false)
  })

  it('is not read by a guest, neither as state nor as a file', async () => {
    const guest = system.client()
    const state = (fn: string, payload: object) => guest.trigger({ function_id: `state::${fn}`, payload })
    for (const scope of ['auth', '../auth', '../../auth', '/auth', 'realm-default/../auth', 'system/auth']) {
      expect(await state('list', { scope }), scope).toEqual([])
      expect(await state('entries', { scope }), scope).toEqual({ entries: [] })
    }
    const { changes } = (await state('changes', { scopes_prefix: '' })) as { changes: { scope: string }[] }
    expect(changes.map(({ scope }) => scope).filter((scope) => /auth|audit|capabilities|llm/.test(scope))).toEqual([])
    for (const path of [
      '/data/owner-token',
      '/owner-token',
      '/assets/..%2f..%2f..%2fdata/owner-token',
      '/assets/../../../data/owner-token',
      '/..%5c..%5cdata%5cowner-token',
      '/assets/%2e%2e/%2e%2e/engine.mjs',
      '/secrets.json',
    ]) {
      const reply = await system.api('GET', path)
      expect([path, reply.status]).toEqual([path, 404])
      expect(reply.text).not.toContain(system.ownerToken)
    }
  })

  it('stands in files that only their owner reads', () => {
    for (const name of ['owner-token', ...ALL_WORKERS.map((worker) => join('credentials', worker))]) {
      expect([name, statSync(join(system.dataDir, name)).mode & 0o777]).toEqual([name, 0o600])
    }
  })
})

function stateFiles(): string[] {
  return ['store.sqlite', 'store.sqlite-wal', 'traces.sqlite', 'traces.sqlite-wal']
    .map((name) => join(system.dataDir, name))
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'latin1'))
}
