import { hash } from 'node:crypto'
import { chat as agentChat } from '@agentos/contracts/agent-core'
import { chat, completion as completionContract, model, models, sse } from '@agentos/contracts/streaming'
import { defineWorker, type HandlerContext, newId, serve } from '@agentos/sdk'
import { completion } from './completion.ts'
import { findModel, listModels } from './model-list.ts'
import { transcript } from './transcript.ts'

export const worker = defineWorker({
  name: 'streaming',
  functions: [
    serve(completionContract, completion),
    serve(sse, transcript),
    serve(models, (_input, ctx) => listModels(ctx)),
    serve(model, ({ id, name, variant }, ctx) => findModel([id, name, variant].filter(Boolean).join('/'), ctx)),
    serve(chat, async ({ message, agentId, sessionId, provider, model: wanted, stream }, ctx) => {
      const key = ctx.idempotencyKey
      const answer = await ctx.call(
        agentChat,
        {
          message,
          agentId,
          sessionId: sessionId ?? (key === undefined ? newId('session') : sessionOf(key, ctx)),
          ...(provider ? { provider } : {}),
          ...(wanted ? { model: wanted } : {}),
          ...(stream ? { stream } : {}),
        },
        key === undefined ? {} : { idempotencyKey: `${key}/chat` },
      )
      const { content, model: answering, usage, agentCreated, budget } = answer
      return {
        content,
        model: answering,
        usage,
        ...(agentCreated ? { agentCreated } : {}),
        ...(budget ? { stopReason: 'budget_exceeded' as const, budget } : {}),
      }
    }),
  ],
})

/** The session of a chat that names none: the same where the same call comes again. */
function sessionOf(key: string, { principal }: HandlerContext): string {
  return `session-${hash('sha256', JSON.stringify([principal.kind, principal.id, key])).slice(0, 32)}`
}

if (import.meta.main) await worker.run()
