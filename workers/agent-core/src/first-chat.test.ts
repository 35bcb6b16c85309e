import { chat as chatContract } from '@agentos/contracts/agent-core'
import { complete } from '@agentos/contracts/llm-router'
import { sessionAppend } from '@agentos/contracts/memory'
import { type DurableContext, type FunctionContract, InvocationError, openLog, Suspended } from '@agentos/sdk'
import { StateDouble } from '@agentos/testing'
import { describe, expect, it } from 'vitest'
import { newAgent } from './agent-record.ts'
import { chat } from './chat.ts'
import { ModelRooms } from './history/model-rooms.ts'
import { SessionQueue } from './session-queue.ts'

const log = await openLog('test', 'silent')
const down = (code: string) => new InvocationError({ code, message: 'not now', details: { provider: 'p' } })
const usage = { input: 1, output: 1, total: 2, cached: 0, reasoning: 0 }
const said = (content: string, toolCalls: object[] = []) => ({
  provider: 'p',
  model: 'm',
  content,
  parts: toolCalls.length > 0 ? toolCalls : [{ type: 'text', text: content }],
  toolCalls,
  usage,
  cost: { microUsd: 0 },
  stopReason: toolCalls.length > 0 ? 'tool_calls' : 'stop',
})
const lookUp = said('', [{ type: 'toolCall', callId: 'c1', id: 'memory::search', arguments: {} }])

type Reply = object | Error

/** A realm, and a run in it: its steps are written down by name; `recorded` are those of an earlier attempt. */
function world({ maxAgents = null as number | null, recorded = {} as Record<string, unknown> } = {}) {
  const state = new StateDouble({ scopes: ['agents'] })
  const steps: string[] = []
  const transcript: unknown[] = []
  const answers: Reply[] = []
  const replies: Record<string, (input: never) => Reply> = {
    [complete.id]: () => answers.shift() ?? said('hello'),
    [sessionAppend.id]: ({ messages }: { messages: object[] }) => transcript.push(...messages) && {},
    'realm::get': () => ({ maxAgents, defaultModel: null }),
    'memory::session::get': () => ({ messages: [], archive: [] }),
    'memory::recall': () => [],
    'security::get_capabilities': () => ({}),
    'security::set_capabilities': () => ({}),
  }
  const call = async ({ id }: FunctionContract, input: never) => {
    const reply = replies[id]?.(input) ?? {}
    if (reply instanceof Error) throw reply
    return reply
  }
  const trigger = async () => ({ functions: [], version: '1' })
  const plain = {
    state: state.client,
    call,
    trigger,
    log,
    realm: 'realm-default',
    principal: { kind: 'owner', id: 'o' },
  }
  const ctx = {
    ...plain,
    run: 'run-1',
    signal: new AbortController().signal,
    onSuspend: () => {},
    now: async () => 0,
    step: async (name: string, work: (context: unknown) => unknown) => {
      steps.push(name)
      return name in recorded ? recorded[name] : work(plain)
    },
    call: async (contract: FunctionContract, input: never) => {
      steps.push(contract.id)
      return call(contract, input)
    },
    all: async (items: unknown[], work: (item: unknown, branch: unknown, n: number) => unknown) =>
      Promise.all(items.map((item, n) => work(item, ctx, n))),
  } as unknown as DurableContext
  const ask = (more: object = {}) => {
    const input = chatContract.input().parse({ agentId: 'mistyped', message: 'hi', sessionId: 's', ...more })
    return chat(input, ctx, { sessions: new SessionQueue(), rooms: new ModelRooms() })
  }
  return { state, steps, transcript, answers, replies, ask }
}

describe('the first chat of an agent that nobody knows', () => {
  it('leaves no agent and no session where the model does not answer', async () => {
    const { state, transcript, answers, ask } = world()
    for (const code of ['not_configured', 'provider_unavailable', 'budget_exceeded']) {
      answers.push(down(code))
      const error = await ask().catch((thrown: unknown) => thrown)
      expect(error).toMatchObject({ code, details: { provider: 'p' } })
      expect(error).not.toHaveProperty('details.agentCreated')
    }
    expect(state.keys('agents')).toEqual([])
    expect(transcript).toEqual([])
  })

  it('makes it with the first answer, says so, and keeps what was said', async () => {
    const { state, transcript, ask } = world()
    expect(await ask()).toMatchObject({ agentCreated: true, content: 'hello' })
    expect(state.keys('agents')).toEqual(['mistyped'])
    expect(transcript).toMatchObject([{ role: 'user', content: 'hi' }, { role: 'assistant' }])
    expect(await ask()).not.toHaveProperty('agentCreated')
  })

  it('says so also where it fails after that, and keeps what was said', async () => {
    const { state, transcript, answers, ask } = world()
    answers.push(lookUp, down('provider_unavailable'))
    await expect(ask()).rejects.toMatchObject({
      code: 'provider_unavailable',
      message: 'not now',
      details: { provider: 'p', agentCreated: true },
    })
    expect(state.keys('agents')).toEqual(['mistyped'])
    expect(transcript).toMatchObject([{ role: 'user' }, { role: 'assistant' }, { role: 'tool' }])
  })

  it('says so where its grants did not come into force any more', async () => {
    const { state, replies, ask } = world()
    replies['security::set_capabilities'] = () => down('worker_unavailable')
    await expect(ask()).rejects.toMatchObject({ code: 'worker_unavailable', details: { agentCreated: true } })
    expect(state.keys('agents')).toEqual(['mistyped'])
  })

  it('that has to wait is passed on as it is', async () => {
    const { answers, ask } = world()
    const suspended = new Suspended({ reason: 'approval' } as never)
    answers.push(lookUp, suspended)
    await expect(ask()).rejects.toBe(suspended)
  })

  it('says so where the attempt before made it, and died before that was written down', async () => {
    const draft = newAgent('mistyped', { name: 'mistyped' }, 5)
    const { state, ask } = world({ recorded: { begin: { agent: draft, missing: true, sessionId: 's' } } })
    state.answer('state::set', { scope: 'agents', key: 'mistyped', value: draft })
    expect(await ask()).toMatchObject({ agentCreated: true })
  })

  it('does not say so where somebody else was first', async () => {
    const draft = newAgent('mistyped', { name: 'mistyped' }, 5)
    const { state, ask } = world({ recorded: { begin: { agent: draft, missing: true, sessionId: 's' } } })
    state.answer('state::set', { scope: 'agents', key: 'mistyped', value: { ...draft, createdAt: 4 } })
    expect(await ask()).not.toHaveProperty('agentCreated')
  })

  it('asks no model where the realm has no room for one more', async () => {
    const { steps, ask } = world({ maxAgents: 0 })
    await expect(ask()).rejects.toMatchObject({ code: 'quota_exceeded' })
    expect(steps).toEqual(['begin', 'prepare'])
  })

  it('goes on as it began where its journal is of a version that made the agent at once', async () => {
    const agent = newAgent('mistyped', { name: 'mistyped' }, 5)
    const { steps, ask } = world({ recorded: { begin: { agent, created: true, sessionId: 's' } } })
    expect(await ask()).toMatchObject({ agentCreated: true })
    const [append, model] = [sessionAppend.id, complete.id]
    expect(steps.filter((name) => name !== 'time')).toEqual(['begin', 'prepare', append, model, append])
  })
})
