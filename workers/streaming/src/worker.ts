import { chat as agentChat } from '@agentos/contracts/agent-core'
import { chat, completion as completionContract, model, models, sse } from '@agentos/contracts/streaming'
import { defineWorker, newId, serve } from '@agentos/sdk'
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
    serve(chat, async ({ message, agentId, sessionId, provider, model, stream }, ctx) => {
      const answer = await ctx.call(agentChat, {
        message,
        agentId,
        sessionId: sessionId ?? newId('session'),
        ...(provider ? { provider } : {}),
        ...(model ? { model } : {}),
        ...(stream ? { stream } : {}),
      })
      const { content, model: answering, usage, agentCreated } = answer
      return { content, model: answering, usage, ...(agentCreated ? { agentCreated } : {}) }
    }),
  ],
})

if (import.meta.main) await worker.run()
