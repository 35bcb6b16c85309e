import * as llm from '@agentos/contracts/llm-router'
import { defineWorker, serve } from '@agentos/sdk'
import { openRouter, type Router } from './router.ts'
import { Settings } from './settings.ts'

let router: Router

export const worker = defineWorker({
  name: 'llm-router',
  settings: Settings,
  start: async (self) => {
    router = await openRouter(self)
  },
  stop: () => router?.close(),
  functions: [
    serve(llm.route, async ({ messages, tools, provider, model }) => {
      const request = { messages, tools: tools ?? [], provider: provider ?? undefined, model: model ?? undefined }
      const route = await router.route(request)
      return { provider: route.provider, model: route.model, complexity: route.complexity }
    }),
    serve(llm.complete, (input, ctx) => router.complete(input, ctx)),
    serve(llm.stream, (input, ctx) => router.complete(input, ctx)),
    serve(llm.usage, async ({ by, agentId, sessionId }, ctx) => {
      const query = { by: by ?? undefined, agent: agentId ?? undefined, session: sessionId ?? undefined }
      return { stats: await router.usage(ctx.state, ctx.realm, query) }
    }),
    serve(llm.providers, () => router.providers()),
    serve(llm.models, ({ provider }) => router.models(provider ?? undefined)),
    serve(llm.aliases, () => router.aliases()),
    serve(llm.setKey, ({ provider, key }) => router.setKey(provider, key)),
    serve(llm.test, ({ provider }, ctx) => router.test(provider, ctx.signal)),
  ],
})

if (import.meta.main) await worker.run()
