import type { Budget } from '@agentos/contracts/ledger'
import {
  type ApiOptions,
  type RecordedRequest,
  type SimulatedAnswer,
  type Simulator,
  type SmtpSimulator,
  Supervised,
  startOpenAiSimulator,
  startSmtpSimulator,
} from '@agentos/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { ALL_WORKERS, type ChatReply } from './support/all-workers.ts'
import { blocksOf, ReadmeShell } from './support/readme-shell.ts'

const [setUp, ...steps] = blocksOf('The first ten minutes', 'sh')
/** What step 4 adds to config.yaml for a model on this host. */
const [localPrice] = blocksOf('The first ten minutes', 'yaml')
const STORY = Array.from({ length: 60 }, (_, n) => `word${n}`).join(' ')
/** Where the curl of step 6 is: it has no token. */
const GUESTS: ApiOptions = { owner: true, realm: 'guest' }
/** Who is killed while a story is told. */
const VICTIMS: Record<string, string> = { harbour: 'agent-core', ship: 'llm-router', bell: 'engine', tide: 'engine' }

interface Run {
  id: string
  status: string
  attempts: number
  result: ChatReply
  journal: { name: string }[]
}

let provider: Simulator
let mails: SmtpSimulator
let system: Supervised
let shell: ReadmeShell

beforeAll(async () => {
  ;[provider, mails] = await Promise.all([
    startOpenAiSimulator(answer, { models: ['gpt-4o', 'gpt-4o-mini'] }),
    startSmtpSimulator(),
  ])
  const config = { providers: { openai: { baseUrl: provider.url } }, default: 'openai/gpt-4o' }
  system = await Supervised.start({
    workers: ALL_WORKERS,
    entries: [{ name: 'llm-router', config }],
    env: { OPENAI_API_KEY: provider.key, SMTP_URL: mails.url, MAIL_FROM: 'agent@example.com' },
  })
  shell = new ReadmeShell(system)
})
afterAll(async () => {
  await system?.stop()
  await Promise.all([provider?.close(), mails?.close()])
})
beforeEach(() => provider.play(answer))

/** A model that does what the README asks of one: no more than any model can. */
function answer(request: RecordedRequest): SimulatedAnswer {
  const messages = request.body.messages as { role: string; content: unknown }[]
  const input = Math.ceil(JSON.stringify(messages).length / 4)
  const text = (content: unknown): string => (typeof content === 'string' ? content : JSON.stringify(content))
  const { role, content } = messages.at(-1)!
  const said = text(content)
  const usage = (output: number) => ({ usage: { input, output } })
  if (role === 'tool') return { text: `It answered ${said}`, ...usage(20) }
  const [, fact] = /^Remember that (.*)$/.exec(said) ?? []
  if (fact) return { toolCalls: [{ name: 'memory__store', arguments: { content: fact } }], ...usage(10) }
  const [, id, args] = /^Call (\S+) with (\{.*\})$/.exec(said) ?? []
  if (id) return { toolCalls: [{ name: id.replace('::', '__'), arguments: JSON.parse(args!) }], ...usage(10) }
  const [, subject] = /^Tell me a long story about a (\w+)/.exec(said) ?? []
  if (subject) return { text: `${STORY} ${subject}`, midway: () => untilKilled(subject, request), ...usage(80) }
  if (/^Write/.test(said)) return novel(Number(request.body.max_completion_tokens ?? request.body.max_tokens), input)
  if (/^What do you know/.test(said)) return { text: `I know this: ${text(messages[0]!.content)}`, ...usage(20) }
  return { text: '17 × 23 = 391', ...usage(8) }
}

/** As long as it may be: the provider keeps to the limit that it is told. */
function novel(limit: number, input: number): SimulatedAnswer {
  const output = Math.min(limit, 16_384)
  return { text: 'word '.repeat(output), stop: 'length', usage: { input, output } }
}

/** In the middle of a story: lets the reader's kill happen, and goes on when the process is gone. */
async function untilKilled(subject: string, { index }: RecordedRequest): Promise<void> {
  // Told again after the kill.
  if (shell.isAwake || index > 0) return
  const pid = async () => (await system.process(VICTIMS[subject]!))?.pid
  const victim = await pid()
  shell.wake()
  await expect.poll(pid, { timeout: 20_000 }).not.toBe(victim)
}

const run = (step: number, given?: Record<string, string>) => shell.run(setUp! + steps[step - 1]!, given)

const get = async <T>(path: string, where: ApiOptions = {}): Promise<T> => {
  const ask = () => system.api<T>('GET', path, undefined, where).catch(() => undefined)
  await expect.poll(async () => (await ask())?.status, { timeout: 20_000 }).toBe(200)
  return (await ask())!.body
}

/** The last run of a chat, when it is over. */
async function lastRun(where: ApiOptions = {}): Promise<Run> {
  const { runs } = await get<{ runs: Run[] }>('/v1/runs?function=agent::chat&limit=1', where)
  const read = () => get<Run>(`/v1/runs/${runs[0]!.id}`, where)
  await expect.poll(async () => (await read()).status, { timeout: 30_000 }).toBe('done')
  return read()
}

async function transcript(
  { result: { sessionId } }: Run,
  where: ApiOptions = {},
): Promise<[role: string, content: unknown][]> {
  const { body } = await system.api<{ messages: { role: string; content: unknown }[] }>(
    'POST',
    '/v1/functions/call',
    {
      functionId: 'memory::session::get',
      payload: { agentId: 'default', sessionId },
    },
    where,
  )
  return body.messages.map(({ role, content }) => [role, content])
}

// One story: a step tried again would find what its first try left behind.
describe('the first ten minutes of the README', { retry: 0 }, () => {
  it('are seven steps', () => expect(steps).toHaveLength(7))

  it('1: a chat', async () => {
    const { out, code } = await run(1)
    expect(code, out).toBe(0)
    expect(out).toMatch(/391\nopenai\/gpt-4o · \d+ ms · \d+ → 8 tokens · \$0\.\d+ · session-/)
  })

  it('2: what is remembered is found again', async () => {
    const { out, code } = await run(2)
    expect(code, out).toBe(0)
    expect(out).toContain('→ memory::store {"content":"my dog is called Rex"}')
    expect(out).toMatch(/I know this: [\s\S]*my dog is called Rex/)
  })

  describe('3: a story whose', () => {
    const [agent, router] = steps[2]!.trim().split('\n')

    it('agent is killed in the middle comes whole, and the model is asked once', async () => {
      const { out, code } = await shell.run(`${setUp}${agent}`)
      expect(code, out).toBe(0)
      expect(out.split(`${STORY} harbour`)).toHaveLength(2)
      expect(out).not.toContain('asked again')
      expect(provider.requests).toHaveLength(1)
      const done = await lastRun()
      expect(done).toMatchObject({ attempts: 2, result: { content: `${STORY} harbour` } })
      expect((await transcript(done)).map(([role]) => role)).toEqual(['user', 'assistant'])
    })

    it('router is killed in the middle comes whole; the model is asked once more, and the terminal says so', async () => {
      const { out, code } = await shell.run(`${setUp}${router}`)
      expect(code, out).toBe(0)
      expect(out).toMatch(/word3[\s\S]*asked again after a crash[\s\S]*word59 ship\n/)
      expect(out.split('word59')).toHaveLength(2)
      expect(provider.requests).toHaveLength(2)
      const done = await lastRun()
      expect(done).toMatchObject({ result: { content: `${STORY} ship` } })
      expect((await transcript(done)).map(([role]) => role)).toEqual(['user', 'assistant'])
    })
  })

  it('4: an answer ends where five cents do, and the next one is refused', async () => {
    const { out } = await run(4)
    expect(out).toContain(
      'budget_exceeded: The budget of the session novel ($0.05 per month) had $0.05 left for this answer',
    )
    expect(out).toContain('stopped: budget_exceeded')
    expect(out).toContain('The money left in a budget does not pay for this call')
    expect(provider.requests).toHaveLength(1)
    const { budgets } = await get<{ budgets: Budget[] }>('/v1/budgets')
    expect(budgets).toMatchObject([{ sessionId: 'novel', limitMicroUsd: 50_000, reservedMicroUsd: 0 }])
    expect(budgets[0]!.spentMicroUsd).toBeLessThanOrEqual(50_000)
    expect(budgets[0]!.spentMicroUsd).toBeGreaterThan(45_000)
    const refused = await system.api<{ code: string }>('POST', '/v1/chat', { message: 'And?', sessionId: 'novel' })
    expect([refused.status, refused.body.code]).toEqual([402, 'budget_exceeded'])
  })

  it('5: an e-mail waits for its approval, arrives once, and the run goes on', async () => {
    const [create, chat, list, approve, show] = steps[4]!.trim().split('\n') as string[]
    const asked = await shell.run([setUp, create, chat, list].join('\n'))
    expect(asked.code, asked.out).toBe(0)
    const [, request] = /request (approval-[\w-]+)\./.exec(asked.out) ?? []
    const [, id] = /run (run-[\w-]+)\./.exec(asked.out) ?? []
    expect(asked.out).toContain(`${request}\n  agent     clerk\n  function  fn::email_send (external)`)
    expect(asked.out).toContain('stopped: waiting')
    expect(await get(`/v1/runs/${id}`)).toMatchObject({ status: 'waiting', reason: 'approval' })
    expect(mails.connections).toBe(0)

    const given = { request: request!, run: id! }
    const approved = await shell.run(`${setUp}${approve}`, given)
    expect(approved.out).toBe(`${request} is approved.\n`)
    await expect
      .poll(async () => (await shell.run(`${setUp}${show}`, given)).out, { timeout: 20_000 })
      .toContain('It answered {"sent":true')
    const done = await get<Run>(`/v1/runs/${id}`)
    expect(done.result).toMatchObject({ stopReason: 'stop', toolCalls: [{ id: 'fn::email_send', ok: true }] })
    expect(mails.received).toMatchObject([{ to: ['you@example.com'] }])
    expect(mails.received[0]!.body.trim()).toBe('From an agent.')
    expect(mails.violations).toEqual([])
    expect(provider.requests).toHaveLength(2)
  })

  it('6: the engine is killed in the middle, and the same POST again has the one answer', async () => {
    const { out, code } = await run(6)
    expect(code, out).toBe(0)
    // One object behind the other: of who asked while the engine was killed, and of who asked later.
    const replies = out.slice(out.indexOf('{')).split(/(?<=\})(?=\s*\{)/)
    const [reply, later] = replies.map((text) => JSON.parse(text) as ChatReply)
    expect(replies).toHaveLength(2)
    expect(later).toEqual(reply)
    expect(reply).toMatchObject({ content: `${STORY} bell`, stopReason: 'stop' })
    const done = await lastRun(GUESTS)
    expect(done).toMatchObject({ id: reply!.runId, attempts: 2, result: reply })
    expect(provider.requests.length).toBeLessThanOrEqual(2)
    const messages = await transcript(done, GUESTS)
    expect(messages.map(([role]) => role)).toEqual(['user', 'assistant'])
    // Asked once more, it is a look into the journal.
    const before = provider.requests.length
    const again = await shell.run(`${setUp}${steps[5]!.trim().split('\n').at(0)}\nask`)
    expect(JSON.parse(again.out)).toEqual(reply)
    expect(provider.requests).toHaveLength(before)
  })

  it('6: a chat at the terminal survives a kill of the engine by itself', async () => {
    const [told] = steps[2]!.trim().split('\n')
    const other = told!.replace('harbour', 'tide').replace('agent-core', 'engine')
    const { out, code } = await shell.run(setUp! + other)
    expect(code, out).toBe(0)
    expect(out).toMatch(/the connection broke; the run went on, and this is its answer:\nword0 .*word59 tide\nopenai/)
    expect((await transcript(await lastRun())).map(([role]) => role)).toEqual(['user', 'assistant'])
  })

  it('7: a replay is the same, and asks no model', async () => {
    const { id } = await lastRun()
    const { out, code } = await run(7, { run: id })
    expect(code, out).toBe(0)
    expect(out).toContain(id)
    expect(out).toContain('The replay is the same: every step, and the result.')
    const { runs } = await get<{ runs: { id: string; attempts: number; replayOf?: string }[] }>('/v1/runs?limit=50')
    const originals = runs.filter(({ replayOf }) => replayOf === undefined)
    // One run for each chat: none was begun anew. The replayed ones of mail and kills are the same, too.
    for (const original of originals) {
      const { body } = await system.api<{ ok: boolean }>('POST', `/v1/runs/${original.id}/replay`, {})
      expect(body, original.id).toMatchObject({ ok: true, divergences: [] })
    }
    expect(originals).toHaveLength(10)
    expect(provider.requests).toHaveLength(0)
    expect(mails.received).toHaveLength(1)
    expect(provider.refused).toEqual([])
  })
})

describe('a reader without a key, with a model on this host', { retry: 0 }, () => {
  it('4: sees an answer end where five cents of a made-up price do, and the next one refused', async () => {
    const ollama = await startOpenAiSimulator(answer, { models: ['qwen3:4b'], keyless: true })
    const entries = parse(localPrice!) as { name: string; config: Record<string, unknown> }[]
    const env = { AGENTOS_LOCAL_MODELS: `ollama=${ollama.url}` }
    const host = await Supervised.start({ workers: ALL_WORKERS, entries, env })
    try {
      const { out } = await new ReadmeShell(host).run(setUp! + steps[3]!)
      expect(out).toContain(
        'budget_exceeded: The budget of the session novel ($0.05 per month) had $0.05 left for this answer',
      )
      expect(out).toMatch(/ollama\/qwen3:4b · .* · \$0\.0\d+ · stopped: budget_exceeded/)
      expect(out).toContain('The money left in a budget does not pay for this call')
      expect(ollama.requests).toHaveLength(1)
      const { body } = await host.api<{ budgets: Budget[] }>('GET', '/v1/budgets')
      expect(body.budgets).toMatchObject([{ sessionId: 'novel', limitMicroUsd: 50_000, reservedMicroUsd: 0 }])
      expect(body.budgets[0]!.spentMicroUsd).toBeGreaterThan(45_000)
    } finally {
      await host.stop()
      await ollama.close()
    }
  })
})
