import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import {
  type Simulator,
  type SmtpSimulator,
  type System,
  startOpenAiSimulator,
  startSmtpSimulator,
  startSystem,
} from '@agentos/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ALL_WORKERS, type ChatReply, NO_GUEST_BUDGET, NO_LOCAL_MODELS } from './support/all-workers.ts'

/** In the realm of those who chat here. */
const owner = { owner: true, realm: 'guest' } as const
let pages: Server
let mails: SmtpSimulator
let model: Simulator
let system: System
let pageUrl: string

beforeAll(async () => {
  pages = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8')
    response.end('<title>Harbour</title><h1>Opening hours</h1><p>The harbour closes at <b>nine</b>.</p>')
  })
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
  const { port } = pages.address() as AddressInfo
  pageUrl = `http://127.0.0.1:${port}/hours`
  ;[mails, model] = await Promise.all([startSmtpSimulator(), startOpenAiSimulator({ text: 'hello' })])
  const providers = { sim: { baseUrl: model.url, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' } }
  system = await startSystem({
    workers: ALL_WORKERS,
    env: NO_LOCAL_MODELS,
    workerEnv: {
      'llm-router': { OPENAI_API_KEY: 'test-key' },
      toolbox: { SMTP_URL: mails.url, MAIL_FROM: 'agent@example.com' },
    },
    config: {
      workers: [
        NO_GUEST_BUDGET,
        { name: 'llm-router', config: { providers } },
        // The ports of the engine fall into this range, and are refused all the same.
        { name: 'toolbox', config: { allow_private: ['0.0.0.0/0', `127.0.0.1:${port}`] } },
      ],
    },
  })
})
afterAll(async () => {
  await system?.stop()
  await Promise.all([mails?.close(), model?.close()])
  pages?.close()
})

const run = <T>(functionId: string, payload: object) =>
  system.api<T & { code?: string }>('POST', '/v1/functions/call', { functionId, payload }, owner)

/** Calls of an agent that change something outside wait for a person; e2e/approval.test.ts is about that. */
async function approvePending(agentId: string): Promise<void> {
  const pending = await system.api<{ id: string }[]>(
    'GET',
    `/v1/approvals?status=pending&agentId=${agentId}`,
    undefined,
    owner,
  )
  for (const { id: requestId } of pending.body) {
    const decision = { requestId, decision: 'approve' }
    expect((await system.api('POST', '/v1/approvals/decide', decision, owner)).status).toBe(200)
  }
}

/** What the run of a chat came to, once it is over. */
async function outcome(runId: string): Promise<ChatReply> {
  const run = async () => (await system.api<{ status: string; result: ChatReply }>('GET', `/v1/runs/${runId}`)).body
  await expect.poll(async () => (await run()).status, { timeout: 20_000 }).toBe('done')
  return (await run()).result
}

it('refuses text that a file could not hold, over HTTP, and writes nothing', async () => {
  const path = 'half.txt'
  const refused = await run<{ detail: string }>('fn::file_write', { path, content: 'half \ud83d of it' })
  expect(refused).toMatchObject({
    status: 400,
    body: {
      code: 'invalid_input',
      detail: expect.stringContaining('content: half of a character (\\ud83d) at offset 5'),
    },
  })
  expect((await run('fn::file_read', { path })).body.code).toBe('not_found')
})

// Its mail is out: tried again, the test would count two.
describe('an agent with grants for the toolbox', { retry: 0 }, () => {
  it('reads a page, works it into a file, and sends a mail once it is approved, and once only', async () => {
    const agent = { id: 'clerk', name: 'Clerk', capabilities: { functions: ['fn::*'] } }
    expect((await system.api('POST', '/v1/agents', agent, owner)).status).toBeLessThan(300)
    const letter = { to: 'harbour@example.com', subject: 'Hours', text: 'We close at nine.' }
    let draftId = ''
    const call = (name: string, args: object) => ({ toolCalls: [{ name, arguments: args as Record<string, unknown> }] })
    model.play((request) => {
      const said = JSON.stringify(request.body)
      draftId = /draft-[0-9a-f-]{30,}/.exec(said)?.[0] ?? draftId
      switch (request.index) {
        case 0:
          return call('fn__web_fetch', { url: pageUrl })
        case 1:
          return call('fn__file_write', { path: 'notes/hours.md', content: 'closes at nine' })
        case 2:
          return call('fn__file_read', { path: 'notes/hours.md' })
        case 3:
          return call('fn__calculate', { expression: '(21 - 9) * 60' })
        case 4:
          return call('fn__email_draft', letter)
        case 5:
          return call('fn__email_send', { draftId })
        default:
          return { text: 'Done.' }
      }
    })
    const message = 'When does the harbour close? Fetch the page, write and read a file, calculate, send an email.'
    const { body, status } = await system.api<ChatReply>('POST', '/v1/chat', {
      agentId: 'clerk',
      message,
      model: 'sim/test-model',
    })
    expect(status, JSON.stringify(body)).toBe(200)
    expect(body.stopReason).toBe('waiting')
    expect(mails.received).toHaveLength(0)
    const heard = JSON.stringify(model.requests.at(-1)!.body)
    for (const piece of ['closes at nine', 'Opening hours', '720']) expect(heard).toContain(piece)
    await approvePending('clerk')
    const reply = await outcome(body.runId)
    expect(reply.toolCalls.map(({ id, ok }) => `${id} ${ok}`)).toEqual([
      'fn::web_fetch true',
      'fn::file_write true',
      'fn::file_read true',
      'fn::calculate true',
      'fn::email_draft true',
      'fn::email_send true',
    ])
    expect(mails.received).toHaveLength(1)
    // Asked for and approved again, the same draft does not go out twice.
    model.play([call('fn__email_send', { draftId }), { text: 'Done.' }])
    const said = { agentId: 'clerk', message: 'Send the email.', model: 'sim/test-model' }
    const again = await system.api<ChatReply>('POST', '/v1/chat', said)
    await approvePending('clerk')
    expect((await outcome(again.body.runId)).toolCalls).toMatchObject([{ ok: true }])
    expect(mails.received).toHaveLength(1)
    expect(mails.received[0]).toMatchObject({ from: 'agent@example.com', to: ['harbour@example.com'] })
    expect(mails.violations).toEqual([])
    const file = join(system.dataDir, '..', 'workspace', 'realm-guest', 'notes', 'hours.md')
    expect(await readFile(file, 'utf8')).toBe('closes at nine')
  })

  it('without them is refused', async () => {
    model.play([
      { toolCalls: [{ name: 'fn__file_read', arguments: { path: 'notes/hours.md' } }] },
      { text: 'I may not.' },
    ])
    const { body } = await system.api<ChatReply>('POST', '/v1/chat', { message: 'read it', model: 'sim/test-model' })
    expect(body.toolCalls).toMatchObject([{ ok: false }])
  })
})

describe('the toolbox', () => {
  it('reaches no port of this installation, and nothing else that is not public', async () => {
    const ports = [new URL(system.httpUrl).port, new URL(system.wsUrl).port, '3111', '49134']
    for (const port of ports) {
      for (const host of ['127.0.0.1', 'localhost', '[::1]', '0.0.0.0', '127.1', '[::ffff:127.0.0.1]', '2130706433']) {
        for (const id of ['fn::web_fetch', 'fn::http_request']) {
          const { status, body } = await run(id, { url: `http://${host}:${port}/v1/agents` })
          expect([host, port, status, body.code]).toEqual([host, port, 403, 'forbidden'])
        }
      }
    }
    const { body } = await run<{ details: { reason: string } }>('fn::http_request', { url: `${system.httpUrl}/health` })
    expect(body).toMatchObject({ code: 'forbidden', details: { reason: 'own_port' } })
  })

  it('answers no guest, and nobody who only says to be an agent', async () => {
    const call = { functionId: 'fn::file_write', payload: { path: 'guest.txt', content: 'x' } }
    expect((await system.api('POST', '/v1/functions/call', call)).status).toBe(403)
    const guest = system.client()
    const asAgent = { function_id: 'fn::file_write', payload: call.payload, agent: 'clerk' }
    await expect(guest.trigger(asAgent)).rejects.toMatchObject({ code: 'forbidden' })
  })

  it('keeps the files of realms apart', async () => {
    const realm = (await system.api<{ id: string }>('POST', '/v1/realms', { name: 'acme' }, owner)).body.id
    await run('fn::file_write', { path: 'mine.txt', content: 'x' })
    const elsewhere = { functionId: 'fn::file_read', payload: { path: 'mine.txt' } }
    expect((await system.api('POST', '/v1/functions/call', elsewhere, { ...owner, realm })).status).toBe(404)
  })

  it('says what each function does to the world', async () => {
    const { body } = await system.api<{ functions: { id: string; effects: string; tool: boolean }[] }>(
      'GET',
      '/v1/engine/functions',
    )
    const own = body.functions.filter(({ id }) => id.startsWith('fn::'))
    expect(Object.fromEntries(own.map(({ id, effects, tool }) => [id, `${effects} ${tool}`]))).toEqual({
      'fn::web_fetch': 'read true',
      'fn::http_request': 'varies true',
      'fn::file_read': 'read true',
      'fn::file_write': 'write true',
      'fn::calculate': 'read true',
      'fn::email_draft': 'write true',
      'fn::email_check': 'read false',
      'fn::email_send': 'external true',
    })
  })
})
