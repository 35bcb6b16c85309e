import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import * as z from 'zod'
import { MemoryDisk } from '../../store/memory-store.ts'
import { binding, descriptorOf, OWNER_TOKEN, rawRequest, startEdge, type TestEdge } from './edge.fixture.ts'

let system: TestEdge
afterEach(() => system.close())

const Tree = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  properties: {
    id: { type: 'string' },
    limit: { type: 'integer', default: 10 },
    root: { $ref: '#/$defs/Node' },
    stream: { type: 'object' },
  },
  required: ['id', 'limit', 'stream'],
  $defs: { Node: { type: 'object', properties: { children: { type: 'array', items: { $ref: '#/$defs/Node' } } } } },
}

const descriptors = [
  descriptorOf([
    {
      id: 'notes::get',
      summary: 'Read a note',
      request_format: Tree,
      response_format: { type: 'object' },
      http: [binding('GET /v1/notes/:id')],
    },
    { id: 'notes::put', request_format: Tree, http: [binding('POST /v1/notes/:id', { stream: true, status: 201 })] },
    { id: 'notes::wipe', access: 'owner', request_format: Tree, http: [binding('POST /v1/wipe')] },
    { id: 'notes::raw', http: [binding('POST /webhook/notes', { raw: true })] },
  ]),
  descriptorOf([{ id: 'later::do' }], { name: 'later', start: 'on-demand' }),
]

describe('/openapi.json', () => {
  // What OpenAPI 3.1 asks of the parts that are used here.
  const Ref = z.strictObject({ $ref: z.templateLiteral(['#/components/schemas/', z.string()]) })
  const Schema = z.union([Ref, z.boolean(), z.looseObject({ $ref: z.undefined().optional() })])
  const Content = z.record(z.string().regex(/^[a-z]+\/[a-z+-]+$/), z.strictObject({ schema: Schema }))
  const Operation = z.looseObject({
    operationId: z.string().min(1),
    summary: z.string(),
    tags: z.array(z.string()),
    parameters: z
      .array(
        z.discriminatedUnion('in', [
          z.strictObject({ name: z.string(), in: z.literal('path'), required: z.literal(true), schema: Schema }),
          z.strictObject({
            name: z.literal('Idempotency-Key'),
            in: z.literal('header'),
            required: z.boolean().optional(),
            description: z.string(),
            schema: Schema,
          }),
          z.strictObject({
            name: z.string(),
            in: z.literal('query'),
            required: z.boolean().optional(),
            schema: Schema,
          }),
        ]),
      )
      .optional(),
    requestBody: z.strictObject({ required: z.boolean().optional(), content: Content }).optional(),
    responses: z.record(
      z.string().regex(/^([1-5]\d\d|default)$/),
      z.strictObject({ description: z.string(), content: Content.optional() }),
    ),
  })
  const Document = z.strictObject({
    openapi: z.literal('3.1.0'),
    info: z.looseObject({ title: z.string(), version: z.string() }),
    servers: z.array(z.strictObject({ url: z.url() })),
    security: z.array(z.record(z.string(), z.array(z.string()))),
    paths: z.record(
      z.string().startsWith('/'),
      z.partialRecord(z.enum(['get', 'post', 'put', 'patch', 'delete', 'head', 'options']), Operation),
    ),
    components: z.strictObject({
      schemas: z.record(z.string().regex(/^[a-zA-Z0-9._-]+$/), Schema),
      securitySchemes: z.record(z.string(), z.looseObject({ type: z.string() })),
    }),
  })

  const refsIn = (value: unknown): string[] =>
    typeof value !== 'object' || value === null
      ? []
      : Object.entries(value).flatMap(([key, item]) => (key === '$ref' ? [item as string] : refsIn(item)))

  it('is valid, whole, and refers to nothing that is not in it', async () => {
    system = await startEdge({ descriptors })
    const client = system.worker()
    client.serve('api::hello', () => ({}), {
      request_format: { type: 'object', properties: { name: { type: 'string' } } },
    })
    client.bind('t1', 'api::hello', { api_path: 'hello/:who', http_method: 'POST' })
    const document = Document.parse(await (await system.fetch('/openapi.json')).json())
    for (const ref of refsIn(document)) {
      expect(document.components.schemas).toHaveProperty([ref.slice('#/components/schemas/'.length)])
    }
    const operations = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.values(item).map((operation) => ({ path, operation: operation! })),
    )
    expect(new Set(operations.map(({ operation }) => operation.operationId)).size).toBe(operations.length)
    for (const { path, operation } of operations) {
      const declared = (operation.parameters ?? []).filter((item) => item.in === 'path').map((item) => item.name)
      expect(declared).toEqual([...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]))
    }
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining([
        '/health',
        '/v1/functions/call',
        '/v1/notes/{id}',
        '/v1/wipe',
        '/webhook/notes',
        '/hello/{who}',
      ]),
    )
  })

  it('says where each part of an input goes', async () => {
    system = await startEdge({ descriptors })
    const { paths } = Document.parse(await (await system.fetch('/openapi.json')).json())
    const get = paths['/v1/notes/{id}']!.get!
    expect(get.summary).toBe('Read a note')
    expect(get.parameters!.map((item) => [item.in, item.name, item.required ?? false])).toEqual([
      ['path', 'id', true],
      ['query', 'limit', true],
      ['query', 'root', false],
      ['query', 'stream', true],
    ])
    const post = paths['/v1/notes/{id}']!.post!
    expect(post.requestBody?.content['application/json']?.schema).toMatchObject({
      properties: { limit: { type: 'integer' }, stream: { type: 'boolean' } },
      required: ['limit'],
    })
    expect(Object.keys(post.responses['201']!.content!)).toEqual(['application/json', 'text/event-stream'])
  })
})

describe('what is always there', () => {
  it('is ready once every worker that is to be there always is', async () => {
    system = await startEdge({ descriptors })
    expect((await system.fetch('/health')).status).toBe(200)
    const before = await system.fetch('/ready')
    expect(before.status).toBe(503)
    expect(await before.json()).toEqual({ status: 'starting', workers: { expected: 1, up: 0, missing: ['notes'] } })
    const notes = system.installed()
    const after = await system.fetch('/ready')
    expect(after.status).toBe(200)
    expect(await after.json()).toEqual({ status: 'ready', workers: { expected: 1, up: 1, missing: [] } })
    notes.leave()
    expect((await system.fetch('/ready')).status).toBe(503)
  })

  it.each(['/ready', '/v1/engine/ready'])(
    'is not ready at %s while the disk takes no write, and says so',
    async (path) => {
      const disk = new MemoryDisk()
      system = await startEdge({ disk })
      disk.refusal = 'database or disk is full'
      const full = await system.fetch(path)
      expect(full.status).toBe(503)
      expect(await full.json()).toMatchObject({ status: 'store_unavailable', store: 'database or disk is full' })
      disk.refusal = undefined
      expect((await system.fetch(path)).status).toBe(200)
    },
  )

  it('lists functions and workers, up or not', async () => {
    system = await startEdge({ descriptors })
    const notes = system.installed()
    notes.serve('notes::get', () => null)
    const { functions } = (await (await system.fetch('/v1/engine/functions')).json()) as { functions: { id: string }[] }
    const byId = new Map(functions.map((row) => [row.id, row]))
    expect(byId.get('notes::get')).toMatchObject({
      worker: 'notes',
      up: true,
      summary: 'Read a note',
      request_format: Tree,
    })
    expect(byId.get('notes::put')).toMatchObject({ worker: 'notes', up: false })
    expect(byId.get('engine::functions::list')).toMatchObject({ worker: 'engine', up: true })
    const workersFor = async (token?: string) =>
      (await (await system.fetch('/v1/engine/workers', token === undefined ? {} : { token })).json()) as object
    const rows = (pid: number | null) => ({
      workers: [
        { name: 'later', status: 'down', pid: null, installed: true, functions: ['later::do'] },
        { name: 'notes', status: 'up', pid, version: '1.0.0', installed: true, functions: ['notes::get'] },
      ],
    })
    expect(await workersFor(OWNER_TOKEN)).toMatchObject(rows(4711))
    // The number of a process is none of a guest's business.
    expect(await workersFor()).toMatchObject(rows(null))
  })

  it('has figures for Prometheus, whose labels no client chooses', async () => {
    system = await startEdge({ descriptors })
    const client = system.worker()
    client.serve('f', () => ({}))
    client.bind('t1', 'f', { api_path: 'a-path-that-a-guest-chose' })
    await system.fetch('/a-path-that-a-guest-chose')
    await system.fetch('/another-that-is-not-there')
    await system.fetch('/v1/auth/me')
    const response = await system.fetch('/metrics')
    expect(response.headers.get('content-type')).toContain('text/plain')
    const text = await response.text()
    expect(text).toContain('agentos_http_requests_total{method="GET",route="(trigger)",status="200"} 1')
    expect(text).toContain('agentos_http_requests_total{method="GET",route="(none)",status="404"} 1')
    expect(text).toContain('agentos_http_requests_total{method="GET",route="/v1/auth/me",status="200"} 1')
    expect(text).toContain('agentos_calls_total{kind="trigger",outcome="ok"} 1')
    expect(text).toContain('agentos_worker_connections 1')
    expect(text).toMatch(/agentos_call_duration_seconds_bucket\{le="0.01",kind="trigger"\} \d/)
    for (const name of ['nodejs_eventloop_lag_seconds', 'process_resident_memory_bytes', 'agentos_calls_waiting']) {
      expect(text).toContain(name)
    }
    expect(text).not.toContain('guest-chose')
  })

  it('has figures of tokens, cost, runs, approvals, queues and workers, and asks no worker for them', async () => {
    const waiting = { status: 'waiting', reason: 'approval' }
    system = await startEdge({ descriptors, runs: { open: [waiting, waiting], ended: new Map([['done', 4]]) } })
    const span = { traceId: 't', spanId: 's', name: 'model a/b', kind: 'worker', startMs: 0, endMs: 1 } as const
    const attributes = { provider: 'a', model: 'b', input_tokens: 10, output_tokens: 5, cost_micro_usd: 250_000 }
    const of = { ...span, status: 'ok', service: 'llm-router', realm: 'r', attributes } as const
    for (const worker of ['llm-router', 'llm-router', 'somebody']) system.core.spans.record({ ...of, worker })
    // Who only calls itself so.
    system.core.spans.record(of)
    const text = await (await system.fetch('/metrics')).text()
    for (const line of [
      'agentos_model_tokens_total{model="a/b",kind="input"} 20',
      'agentos_model_tokens_total{model="a/b",kind="output"} 10',
      'agentos_model_cost_usd_total{model="a/b"} 0.5',
      'agentos_runs{status="waiting",reason="approval"} 2',
      'agentos_runs_ended_total{outcome="done"} 4',
      'agentos_approvals_pending 2',
      'agentos_queue_jobs 3',
      'agentos_queue_dead_letters 1',
      'agentos_workers{state="down"} 2',
    ]) {
      expect(text).toContain(line)
    }
  })
})

describe('the page', () => {
  it('explains itself where it is not built', async () => {
    system = await startEdge()
    const response = await system.fetch('/')
    expect(response.headers.get('content-type')).toContain('text/html')
    expect(await response.text()).toContain('npm run build')
  })

  it('is served from its folder, with a policy without inline scripts, and nothing beside the folder', async () => {
    const root = await mkdtemp(join(tmpdir(), 'page-'))
    try {
      await mkdir(join(root, 'console', 'assets'), { recursive: true })
      await writeFile(join(root, 'secret.txt'), 'secret')
      await writeFile(join(root, 'console', 'index.html'), '<!doctype html><p>page')
      await writeFile(join(root, 'console', 'assets', 'app-1a2b.js'), 'go()')
      await symlink(join(root, 'secret.txt'), join(root, 'console', 'link.txt'))
      system = await startEdge({ consoleDir: join(root, 'console') })
      const page = await system.fetch('/')
      expect(await page.text()).toContain('page')
      expect(page.headers.get('content-security-policy')).toContain("script-src 'self'")
      const again = await system.fetch('/', { headers: { 'if-none-match': page.headers.get('etag')! } })
      expect(again.status).toBe(304)
      const script = await system.fetch('/assets/app-1a2b.js')
      expect(script.headers.get('content-type')).toContain('text/javascript')
      expect(script.headers.get('cache-control')).toContain('immutable')
      const headers = { host: `127.0.0.1:${system.port}` }
      for (const path of [
        '/../secret.txt',
        '/assets/../../secret.txt',
        '/%2e%2e/secret.txt',
        '/..%2fsecret.txt',
        '/link.txt',
        '/assets',
        '/assets/',
        '/assets/%00',
        '//etc/passwd',
      ]) {
        const answer = await rawRequest(system.port, { path, headers })
        expect([path, answer.status]).toEqual([path, 404])
        expect(answer.body).not.toContain('"secret"')
      }
    } finally {
      await rm(root, { recursive: true })
    }
  })
})
