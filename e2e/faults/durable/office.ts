import * as chatting from '@agentos/contracts/agent-core'
import * as ledger from '@agentos/contracts/ledger'
import * as memory from '@agentos/contracts/memory'
import type { IIIClient, OutputOf } from '@agentos/sdk'
import { type RecordedRequest, type Simulator, type System, startOpenAiSimulator } from '@agentos/testing'
import type { Trigger } from '../harness/kill-points.ts'
import type { RowEnv } from '../harness/row.ts'
import { until } from '../harness/waits.ts'

export const AGENT = 'clerk'
const MODEL = 'bank/counted'
/** Micro-dollars per token. */
const PRICE = { input: 1, output: 2 }
const USAGE = { input: 100, output: 10 }
export const COST = USAGE.input * PRICE.input + USAGE.output * PRICE.output
/** Requests of an undisturbed chat: three with tools, and the answer. */
export const MODEL_CALLS = 4
/** No tool of the task is called more often in an undisturbed chat. */
export const TOOLS = ['look a', 'look b', 'post', 'save'] as const
export type Tool = (typeof TOOLS)[number]

export type Reply = OutputOf<typeof chatting.chat>

/** One step of a run, as `engine::runs::get` shows it. */
export interface JournalStep {
  step: string
  kind: string
  name: string
  status: string
}

export interface RunView {
  id: string
  status: string
  reason?: string
  question?: { step: string; function?: string; input?: unknown }
  attempts: number
  costMicroUsd: number
  result?: Reply
  error?: { code: string; message: string }
  journal: JournalStep[]
}

/**
 * Everything that a chat needs, and its world outside: a provider whose answers follow from what it is asked, and tools
 * whose effects are counted here. Two that only read are called side by side, one must not be repeated, one may be.
 */
export class Office {
  readonly system: System
  readonly owner: IIIClient
  readonly provider: Simulator
  /** Requests to the provider and effects of tools, by task. */
  readonly asked = new Map<string, number>()
  readonly effects = new Map<string, number>()
  /** Runs when the provider, or a tool, has been reached, before it answers. */
  reached: ((what: { task: string; call: string }) => void) | undefined

  private constructor(system: System, provider: Simulator) {
    this.system = system
    this.provider = provider
    this.owner = system.client({ owner: true })
  }

  static async open(env: RowEnv, trigger: Trigger): Promise<Office> {
    let office: Office | undefined
    const provider = await startOpenAiSimulator((request) => office!.answer(request))
    env.cleanUp(() => provider.close())
    const system = await env.system({
      workers: ['agent-core', 'approval', 'ledger', 'llm-router', 'memory', 'realm', 'security'],
      env: { AGENTOS_LOCAL_MODELS: 'off', ...trigger.env },
      workerEnv: { 'llm-router': { OPENAI_API_KEY: provider.key } },
      config: {
        workers: [
          {
            name: 'llm-router',
            config: {
              providers: { bank: { baseUrl: provider.url, keyEnv: 'OPENAI_API_KEY' } },
              prices: { [MODEL]: PRICE },
              retries: { max: 0 },
            },
          },
          { name: 'ledger', config: { leaseMs: 3_000 } },
        ],
      },
    })
    office = new Office(system, provider)
    await office.furnish()
    return office
  }

  /** How often a tool had its effect in a task. */
  count(task: string, tool: Tool): number {
    return this.effects.get(`${task} ${tool}`) ?? 0
  }

  chat(task: string): Promise<Reply> {
    const input = { agentId: AGENT, sessionId: task, message: `Do the task ${task}`, model: MODEL }
    return this.owner.call(chatting.chat, input, { idempotencyKey: task, deadlineMs: 120_000 })
  }

  /** The run that was begun last. */
  async newest(): Promise<string | undefined> {
    const { runs } = await this.owner.trigger<{ runs: { id: string }[] }>({
      function_id: 'engine::runs::list',
      payload: { function: 'agent::chat', limit: 1 },
    })
    return runs[0]?.id
  }

  run(runId: string): Promise<RunView> {
    return this.owner.trigger<RunView>({ function_id: 'engine::runs::get', payload: { runId } })
  }

  async messages(task: string): Promise<string[]> {
    const { messages } = await this.owner.call(memory.sessionGet, { agentId: AGENT, sessionId: task })
    return messages.map(({ role, content }) => `${role}: ${JSON.stringify(content)}`.replaceAll(task, 'TASK'))
  }

  private async furnish(): Promise<void> {
    const { owner, system } = this
    await owner.call(ledger.setBudget, { limitMicroUsd: 1_000_000_000, period: 'total' })
    const client = system.client({ owner: true })
    const serve = (id: string, metadata: object, result: (input: ToolInput) => unknown): void => {
      const request_format = { type: 'object', properties: { task: { type: 'string' }, shelf: { type: 'string' } } }
      const handle = async (input: ToolInput): Promise<unknown> => {
        const tool = input.shelf === undefined ? id.slice('desk::'.length) : `look ${input.shelf}`
        const key = `${input.task} ${tool}`
        this.effects.set(key, (this.effects.get(key) ?? 0) + 1)
        this.reached?.({ task: input.task, call: tool })
        return result(input)
      }
      client.registerFunction(id, handle, { request_format, metadata } as never)
    }
    serve('desk::look', { effects: 'read' }, ({ shelf }) => ({ found: `a paper on shelf ${shelf}` }))
    serve('desk::post', { effects: 'external' }, POSTED)
    serve('desk::save', { effects: 'write', idempotent: true }, () => ({ saved: true }))
    const allowed = await system.api('POST', '/v1/approvals/policy', { allow: ['desk::*'] }, { owner: true })
    const agent = { id: AGENT, name: AGENT, capabilities: { functions: ['desk::*'] } }
    const created = await system.api('POST', '/v1/agents', agent, { owner: true })
    if (allowed.status !== 200 || created.status !== 201) throw new Error('The agent could not be set up')
    if (!(await until(() => this.served('desk::save'), 20_000))) throw new Error('The tools are not served')
  }

  /** Clients come back after a restart of the engine by themselves. */
  async served(id: string): Promise<boolean> {
    const payload = { prefix: 'desk::' }
    const list = await this.owner.trigger<{ functions: { function_id: string }[] }>({
      function_id: 'engine::functions::list',
      payload,
    })
    return list.functions.some(({ function_id }) => function_id === id)
  }

  /** What the model says follows from the conversation alone: asked again, it says the same. */
  private answer({ body }: RecordedRequest) {
    const messages = body.messages as { role: string; content: unknown; tool_calls?: unknown }[]
    const name = /Do the task ([\w-]+)/.exec(JSON.stringify(messages.findLast(({ role }) => role === 'user')))![1]!
    const round = messages.filter(({ tool_calls }) => tool_calls !== undefined).length
    this.asked.set(name, (this.asked.get(name) ?? 0) + 1)
    this.reached?.({ task: name, call: `model ${round}` })
    const call = (tool: string, more: object = {}) => ({
      id: `call-${round}-${Object.values(more).join('')}`,
      name: `desk__${tool}`,
      arguments: { task: name, ...more },
    })
    const usage = USAGE
    if (round === 0) return { toolCalls: [call('look', { shelf: 'a' }), call('look', { shelf: 'b' })], usage }
    if (round === 1) return { toolCalls: [call('post')], usage }
    if (round === 2) return { toolCalls: [call('save')], usage }
    return { text: 'Looked, posted and saved.', usage }
  }
}

interface ToolInput {
  task: string
  shelf?: string
}

export const POSTED = (): unknown => ({ posted: true })
