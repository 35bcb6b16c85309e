import type { Agent, chat as chatContract, StopReason } from '@agentos/contracts/agent-core'
import { type Completion, complete } from '@agentos/contracts/llm-router'
import { sessionAppend } from '@agentos/contracts/memory'
import type { Message } from '@agentos/contracts/message'
import { addUsage } from '@agentos/contracts/security'
import { AgentError, type DurableContext, newId, type OutputOf, type ParsedInputOf, type Waiting } from '@agentos/sdk'
import type * as z from 'zod'
import { DEFAULT_AGENT, requireAgent, tellingOfNew } from './agent-record.ts'
import { createDefaultIfMissing, makeDrafted } from './agents.ts'
import { answerOptions } from './answer-options.ts'
import { ChatTotals } from './chat-totals.ts'
import { EventStream } from './event-stream.ts'
import { roomAfter, within } from './history/history.ts'
import type { ModelPreference, ModelRooms } from './history/model-rooms.ts'
import { tokensOf } from './history/token-estimate.ts'
import { type OfferedTool, type Preparation, prepare } from './preparation.ts'
import type { SessionQueue } from './session-queue.ts'
import { SessionTurn } from './session-turn.ts'
import { Stopwatch } from './stopwatch.ts'
import { ToolRunner } from './tool-runner.ts'

type ChatInput = ParsedInputOf<typeof chatContract>
type ChatOutput = OutputOf<typeof chatContract>
type Stop = z.output<ReturnType<typeof StopReason>>

const MAX_ROUNDS = 50
const DEFAULT_TIMEOUT_MS = 280_000
const DEFAULT_MAX_TOKENS = 500_000
/** So often one request is shortened: a conversation of 32,000 tokens to 2,000. */
const MAX_SHORTENED = 4

export interface ChatServices {
  sessions: SessionQueue
  /** What the models take. */
  rooms: ModelRooms
}

/** How a chat begins. */
interface Beginning {
  agent: Agent
  sessionId: string
  /** Nobody knew the agent: it is made once a model has answered. */
  missing?: boolean
  /** In the journals of before there was `missing`: the agent was made at once. */
  created?: boolean
}

/**
 * One message through the loop: recall, ask the model, run what it asks for, until it answers or a limit is reached. A
 * durable handler: whatever decides how it goes on is a call or a step of its run, so that another process can finish
 * what this one began.
 */
export async function chat(input: ChatInput, ctx: DurableContext, services: ChatServices): Promise<ChatOutput> {
  const beginning = await ctx.step('begin', async (plain): Promise<Beginning> => {
    if (input.create === false && input.agentId !== DEFAULT_AGENT) await requireAgent(plain, input.agentId)
    const found = await createDefaultIfMissing(plain, input.agentId)
    return { ...found, sessionId: input.sessionId || (ctx.http ? newId('session') : `default:${input.agentId}`) }
  })
  const { agent, sessionId } = beginning
  if (agent.status !== 'active') throw new AgentError('conflict', `Agent ${agent.id} is ${agent.status}`)
  const turn = new SessionTurn(services.sessions, `${ctx.realm}/${agent.id}/${sessionId}`, ctx)
  const chatTurn = new ChatTurn(ctx, input, beginning, turn, services.rooms)
  try {
    return await chatTurn.run()
  } catch (error) {
    throw chatTurn.created ? tellingOfNew(error) : error
  } finally {
    turn.leave()
  }
}

/** The state of one turn while it runs. */
class ChatTurn {
  private readonly ctx: DurableContext
  private readonly input: ChatInput
  private readonly agent: Agent
  /** There is no such agent yet. */
  private missing: boolean
  /** This chat has made its agent. */
  created: boolean
  private readonly sessionId: string
  private readonly turn: SessionTurn
  private readonly rooms: ModelRooms
  private readonly totals = new ChatTotals()
  private readonly events: EventStream
  private readonly watch: Stopwatch
  private messages: Message[] = []
  /** Said, and not in the session yet. */
  private unsaved: Message[] = []
  private rounds = 0
  /** Where this model refused, or is known to refuse, more: estimated tokens of a request. */
  private room: number | undefined
  private preference: ModelPreference = {}

  constructor(
    ctx: DurableContext,
    input: ChatInput,
    { agent, missing = false, created = false, sessionId }: Beginning,
    turn: SessionTurn,
    rooms: ModelRooms,
  ) {
    this.ctx = ctx
    this.input = input
    this.agent = agent
    this.missing = missing
    this.created = created
    this.sessionId = sessionId
    this.turn = turn
    this.rooms = rooms
    this.events = new EventStream(ctx, input.stream || undefined)
    this.watch = new Stopwatch(ctx)
  }

  async run(): Promise<ChatOutput> {
    const { ctx, input, agent, missing, sessionId } = this
    await this.takeTurn()
    // A caller that waits hears why it has no answer yet; the answer is in the session and the run once there is one.
    ctx.onSuspend((waiting) => this.interim(waiting))
    await this.events.send({ type: 'session', sessionId, runId: ctx.run, agentId: agent.id })
    const user: Message = { role: 'user', content: input.content ?? input.message }
    const prepared = await ctx.step('prepare', async (plain) => {
      const preparation = await prepare(plain, input, { agent, missing, sessionId })
      const room = this.rooms.of(routePreference(input, agent, preparation.defaultModel))
      return { ...preparation, ...(room === undefined ? {} : { room }) }
    })
    this.preference = routePreference(input, agent, prepared.defaultModel)
    this.room = prepared.room
    this.messages = [...prepared.history, user]
    this.unsaved = [user]
    // Nothing is kept of an agent that is not there yet.
    if (!missing) await this.append()
    const runner = new ToolRunner({
      agentId: agent.id,
      offered: new Map(prepared.tools.map((tool) => [tool.id, tool])),
      capabilities: agent.capabilities,
      narrowed: input.functions,
      timeLeft: () => this.timeLeft(),
    })

    for (;;) {
      const completion = await this.answer(prepared)
      await this.make()
      await this.events.retell(completion)
      this.totals.add(completion)
      await this.count(completion)
      await this.watch.note()
      const assistant: Message = { role: 'assistant', content: completion.parts.length > 0 ? completion.parts : '' }
      const limit = completion.toolCalls.length > 0 ? this.limitReached() : undefined
      if (completion.toolCalls.length === 0 || limit) {
        // Calls that will not be run are not part of the history.
        await this.append([
          limit ? { role: 'assistant', content: completion.content || '(stopped at a limit)' } : assistant,
        ])
        return this.output(completion.content, limit ?? stopOf(completion), completion)
      }
      await this.append()
      await this.takeTurn()
      const outcomes = await runner.run(ctx, completion.toolCalls)
      this.rounds += 1
      this.totals.toolCalls.push(...outcomes.map((outcome) => outcome.report))
      await this.events.send(
        ...outcomes.map(({ report: { callId, id, ok, durationMs, error } }) => ({
          type: 'toolResult' as const,
          callId,
          id,
          ok,
          durationMs,
          ...(error ? { error } : {}),
        })),
      )
      const round: Message[] = [assistant, { role: 'tool', content: outcomes.map((outcome) => outcome.part) }]
      this.messages.push(...round)
      await this.append(round)
    }
  }

  /** Asked again with a shorter conversation where the model cannot take it whole; what it takes is remembered. */
  private async answer(prepared: Preparation): Promise<Completion> {
    if (this.room !== undefined) this.messages = within(this.messages, this.room, prepared)
    for (let shortened = 0; ; shortened += 1) {
      try {
        return await this.ask(prepared)
      } catch (error) {
        const room = roomAfter(error, this.messages, prepared)
        if (room === undefined || shortened >= MAX_SHORTENED) throw error
        const shorter = within(this.messages, room, prepared)
        if (tokensOf(...shorter) >= tokensOf(...this.messages)) throw error
        this.messages = shorter
        this.room = room
        this.rooms.learn(this.preference, room)
      }
    }
  }

  private async ask({ system, tools }: Preparation): Promise<Completion> {
    await this.takeTurn()
    const { ctx, input, agent, sessionId } = this
    return ctx.call(
      complete,
      {
        messages: this.messages,
        system,
        ...(tools.length > 0 ? { tools: tools.map(forModel) } : {}),
        ...this.preference,
        ...answerOptions(input, agent),
        ...(this.events.ref ? { stream: { ...this.events.ref, direction: 'write' as const } } : {}),
        agentId: agent.id,
        sessionId,
      },
      { deadlineMs: this.timeLeft(), session: sessionId },
    )
  }

  private limitReached(): Stop | undefined {
    if (this.rounds >= (this.input.maxIterations ?? MAX_ROUNDS)) return 'max_rounds'
    if (this.totals.usage.total >= (this.input.maxTokens ?? DEFAULT_MAX_TOKENS)) return 'max_tokens'
    return this.watch.spentMs >= this.allowedMs ? 'timeout' : undefined
  }

  private get allowedMs(): number {
    return this.input.timeoutMs ?? DEFAULT_TIMEOUT_MS
  }

  private timeLeft(): number {
    return Math.max(0, this.allowedMs - this.watch.elapsedMs)
  }

  /** Tokens count against the agent's hourly quota as they are used, round by round. */
  private async count(completion: Completion): Promise<void> {
    if (!this.agent.resources?.maxTokensPerHour) return
    await this.ctx.call(addUsage, { agentId: this.agent.id, tokens: completion.usage.total })
  }

  /** The time that it waits for other chats is not its own. */
  private async takeTurn(): Promise<void> {
    const end = this.watch.pause()
    await this.turn.take()
    end()
  }

  /** An agent that was missing is there from the model's first answer on: a mistyped id whose chat fails before leaves none. */
  private async make(): Promise<void> {
    if (!this.missing) return
    await this.takeTurn()
    this.created = await this.ctx.step('make', (plain) => makeDrafted(plain, this.agent))
    this.missing = false
  }

  /** Writes these down in the session, and before them what is not there yet. */
  private async append(more: Message[] = []): Promise<void> {
    const messages = [...this.unsaved, ...more]
    if (messages.length === 0) return
    await this.takeTurn()
    await this.ctx.call(sessionAppend, { agentId: this.agent.id, sessionId: this.sessionId, messages })
    this.unsaved = []
  }

  private interim({ function: functionId, signal, reason }: Waiting): ChatOutput {
    const request = signal?.startsWith('approval:') ? signal.slice('approval:'.length) : undefined
    const what =
      request === undefined
        ? `This chat waits (${reason}).`
        : `${functionId} waits for an approval, request ${request}.`
    return this.output(`${what} It goes on by itself once that is decided: run ${this.ctx.run}.`, 'waiting')
  }

  private output(content: string, stopReason: Stop, { budget }: Pick<Completion, 'budget'> = {}): ChatOutput {
    return {
      content,
      model: this.totals.model,
      usage: this.totals.usage,
      cost: this.totals.cost,
      iterations: this.rounds,
      durationMs: this.watch.spentMs,
      sessionId: this.sessionId,
      runId: this.ctx.run,
      agentId: this.agent.id,
      ...(this.created ? { agentCreated: true } : {}),
      stopReason,
      ...(stopReason === 'budget_exceeded' && budget ? { budget } : {}),
      toolCalls: this.totals.toolCalls,
    }
  }
}

function forModel({ id, description, inputSchema }: OfferedTool) {
  return { id, description, inputSchema }
}

/**
 * The request's pair counts alone where it names provider or model; else the record's, where it names a model; else
 * the realm's default.
 * Empty strings and `agentos-default` mean "not given".
 */
export function routePreference(
  request: { provider?: string | null | undefined; model?: string | null | undefined },
  agent: Pick<Agent, 'model'>,
  realmDefault: string | null = null,
): ModelPreference {
  const given = (value: string | null | undefined): string | undefined =>
    value && value !== 'agentos-default' ? value : undefined
  const pair = (provider: string | undefined, model: string | undefined) => ({
    ...(provider === undefined ? {} : { provider }),
    ...(model === undefined ? {} : { model }),
  })
  const asked = pair(given(request.provider), given(request.model))
  if (asked.provider !== undefined || asked.model !== undefined) return asked
  const model = given(agent.model?.model)
  return model === undefined ? pair(undefined, given(realmDefault)) : pair(given(agent.model?.provider), model)
}

function stopOf(completion: Completion): Stop {
  return completion.stopReason === 'tool_calls' ? 'other' : completion.stopReason
}
