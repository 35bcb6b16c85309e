import type { Agent, chat as chatContract } from '@agentos/contracts/agent-core'
import { recall } from '@agentos/contracts/memory'
import type { Message } from '@agentos/contracts/message'
import { scanInjection } from '@agentos/contracts/security'
import type { HandlerContext, ParsedInputOf } from '@agentos/sdk'
import { assertRoom } from './agents.ts'
import { granted, offered, readCatalogue } from './function-catalogue.ts'
import { readHistory } from './history/history.ts'
import { realmSettings } from './realm-settings.ts'
import { type RecalledMemory, systemPrompt } from './system-prompt.ts'
import { wellFormed } from './transcript.ts'

const RECALLED = 8
const MIN_RECALL_SCORE = 0.3

export interface OfferedTool {
  id: string
  description: string
  effects: string
  /** Its schema may be run; a run that began before this was noted has it run by the function alone. */
  installed?: boolean
  inputSchema: Record<string, unknown>
}

/** Everything that is read before the model is asked: one step of the run, so that a replay asks the same. */
export interface Preparation {
  history: Message[]
  system: string
  tools: OfferedTool[]
  defaultModel: string | null
}

export async function prepare(
  ctx: HandlerContext,
  input: ParsedInputOf<typeof chatContract>,
  { agent, missing, sessionId }: { agent: Agent; missing?: boolean; sessionId: string },
): Promise<Preparation> {
  const [{ messages, summary }, memories, catalogue, realm] = await Promise.all([
    // Who keeps the conversation says what was before.
    input.history ? { messages: wellFormed(input.history), summary: undefined } : readHistory(ctx, agent.id, sessionId),
    recalled(ctx, agent.id, input.message),
    readCatalogue(ctx),
    realmSettings(ctx),
  ])
  // Asked before the model is: nobody pays for the answer of an agent that cannot be made.
  if (missing) await assertRoom(ctx, realm)
  const tools = offered(granted(catalogue, agent.capabilities, input.functions), input.message)
  return {
    history: messages,
    system: systemPrompt(agent, { requested: input.systemPrompt, caller: input.system }, memories, summary),
    tools: tools.map(({ id, description, effects, installed, inputSchema }) => ({
      id,
      description,
      effects,
      installed,
      inputSchema,
    })),
    defaultModel: realm.defaultModel,
  }
}

/** What is known about this message's subject; a chat without it is poorer, not broken. */
async function recalled(ctx: HandlerContext, agentId: string, message: string): Promise<RecalledMemory[]> {
  try {
    const hits = await ctx.call(recall, { agentId, query: message.slice(0, 4_000), limit: RECALLED })
    const relevant = hits.filter((hit) => hit.score >= MIN_RECALL_SCORE)
    const scans = await Promise.all(
      relevant.map((hit) => ctx.call(scanInjection, { text: hit.content, source: 'memory' })),
    )
    return relevant.map((hit, index) => ({ ...hit, suspicious: !scans[index]!.safe }))
  } catch (error) {
    ctx.log.warn({ err: error }, 'Recall failed; the chat goes on without memories')
    return []
  }
}
