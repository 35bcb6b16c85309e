import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type System, startSystem } from '@agentos/testing'
import { withTools } from './agentos-tools.ts'
import type { Contestant, Ending } from './contestant.ts'
import { INSTRUCTIONS, promptOf, receiptOf, toolOf } from './task.ts'

const POLL_MS = 200
const DIST = join(import.meta.dirname, '../../../dist')
/** All that a chat passes through, as it is installed, and the tools. */
const WORKERS = ['agent-core', 'approval', 'ledger', 'llm-router', 'memory', 'realm', 'security', 'streaming', 'unplug']
/** Each is hit in a fifth of the runs; in the last fifth every process is, these and all others. */
const VICTIMS = ['engine', 'agent-core', 'llm-router', 'unplug'] as const
const AGENT = 'clerk'

interface ChatReply {
  content: string
  runId: string
  stopReason: string
  /** Of a reply that is an error. */
  code?: string
  detail?: string
}

interface RunView {
  journal: { step: string; name: string; status: string; input?: { step: number } }[]
}

/**
 * Ours, as a user has it: `POST /v1/chat` with an idempotency key, and again with the same key when the connection broke.
 * Whatever is killed is started again, which is what the supervisor does.
 */
export class AgentOs implements Contestant {
  readonly name: string
  private readonly folder: string
  private readonly world: string
  private system: System | undefined

  constructor(name: string, folder: string, world: string) {
    this.name = name
    this.folder = folder
    this.world = world
  }

  async start(): Promise<void> {
    if (!this.system) {
      this.system = await this.install()
      await this.setUp()
    }
    const { engine, workers } = this.system
    if (!engine.running) await engine.start()
    await Promise.all(Object.values(workers).map((worker) => (worker.running ? undefined : worker.start())))
    await this.system.ready()
  }

  async run(task: string): Promise<Ending> {
    for (;;) {
      const reply = await this.post(task).catch(() => undefined)
      if (reply?.status === 200) {
        const { content, stopReason, runId } = reply.body
        return stopReason === 'waiting' ? this.questionOf(runId) : { how: 'finished', answer: content }
      }
      // What every client does that knows HTTP: no connection, or "try again".
      if (reply && ![429, 502, 503, 504].includes(reply.status)) {
        return { how: 'failed', error: `${reply.status} ${reply.body.code}: ${reply.body.detail}` }
      }
      await delay(POLL_MS)
    }
  }

  async kill(share: number): Promise<string> {
    const { engine, workers } = this.system!
    const victim = VICTIMS[Math.floor(share * (VICTIMS.length + 1))]
    if (victim !== undefined) {
      await (victim === 'engine' ? engine : workers[victim]!).kill()
      return victim
    }
    await Promise.all([engine.kill(), ...Object.values(workers).map((worker) => worker.kill())])
    return 'everything'
  }

  async settle(task: string, tookPlace: boolean): Promise<Ending> {
    const reply = await this.post(task)
    const { runId } = reply.body
    const step = await this.doubtIn(runId)
    const number = step!.input!.step
    const answer = tookPlace
      ? { answer: 'done', result: { receipt: receiptOf(toolOf(number), number) } }
      : { answer: 'repeat' }
    await this.ask('POST', `/v1/runs/${runId}/resume`, { step: step!.step, ...answer })
    return this.run(task)
  }

  async stop(): Promise<void> {
    await this.system?.stop()
    this.system = undefined
  }

  private async install(): Promise<System> {
    const sim = { baseUrl: `${this.world}/v1`, format: 'openai-chat', keyEnv: 'OPENAI_API_KEY' }
    return startSystem({
      workers: WORKERS,
      env: { AGENTOS_LOCAL_MODELS: 'off' },
      dist: await withTools(DIST, this.folder),
      workerEnv: { 'llm-router': { OPENAI_API_KEY: 'test' }, unplug: { WORLD: this.world } },
      config: { workers: [{ name: 'llm-router', config: { default: 'sim/gpt-sim', providers: { sim } } }] },
    })
  }

  /** What the owner does once: an agent that may use the tools, and needs no approval for them. */
  private async setUp(): Promise<void> {
    const capabilities = { functions: ['unplug::*'] }
    await this.ask('POST', '/v1/agents', { id: AGENT, name: 'Clerk', systemPrompt: INSTRUCTIONS, capabilities })
    await this.ask('POST', '/v1/approvals/policy', { agentId: AGENT, allow: ['unplug::*'] })
  }

  private post(task: string) {
    const body = { agentId: AGENT, message: promptOf(task) }
    const options = { owner: true, headers: { 'idempotency-key': task } }
    return this.system!.api<ChatReply>('POST', '/v1/chat', body, options)
  }

  /** It waits: the only thing that it may wait for here is somebody who knows what became of a step. */
  private async questionOf(runId: string): Promise<Ending> {
    const step = await this.doubtIn(runId)
    if (!step) return { how: 'failed', error: `${runId} waits, and no step of it is in doubt` }
    const question = { step: step.input?.step, tool: step.name.replace('unplug::', '') }
    return { how: 'parked', question: JSON.stringify(question) }
  }

  private async doubtIn(runId: string) {
    const { journal } = await this.ask<RunView>('GET', `/v1/runs/${runId}`)
    return journal.find(({ status }) => status === 'in_doubt')
  }

  private async ask<T>(method: string, path: string, body?: object): Promise<T> {
    const reply = await this.system!.api<T>(method, path, body, { owner: true })
    if (reply.status >= 300) throw new Error(`${method} ${path}: ${reply.status} ${reply.text}`)
    return reply.body
  }
}
