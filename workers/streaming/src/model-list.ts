import { list } from '@agentos/contracts/agent-core'
import { models, providers, route } from '@agentos/contracts/llm-router'
import type { models as modelsContract } from '@agentos/contracts/streaming'
import { AgentError, type HandlerContext, type OutputOf } from '@agentos/sdk'

type Row = OutputOf<typeof modelsContract>['data'][number]

/** Agents of the realm first, then the models of every provider that can be used now. */
export async function listModels(ctx: HandlerContext): Promise<OutputOf<typeof modelsContract>> {
  const [agents, known, current] = await Promise.all([
    ctx.call(list, {}),
    ctx.call(models, {}),
    ctx.call(providers, {}),
  ])
  const rows = new Map<string, Row>()
  const add = (id: string, created: number, owned_by: string): void => {
    rows.set(id, { id, object: 'model', created, owned_by })
  }
  add('agent/default', 0, 'agentos')
  for (const agent of agents) add(`agent/${agent.id}`, Math.floor(agent.createdAt / 1000), 'agentos')
  for (const model of known.models) if (model.available) add(qualified(model.provider, model.id), 0, model.provider)
  for (const provider of current.providers) {
    if (provider.available) for (const id of provider.models) add(qualified(provider.name, id), 0, provider.name)
  }
  if (current.default) add(qualified(current.default.provider, current.default.model), 0, current.default.provider)
  return { object: 'list', data: [...rows.values()] }
}

/** One row of that list. Its id is what was asked for: an alias, and a model's own name, say the same. */
export async function findModel(id: string, ctx: HandlerContext): Promise<Row> {
  const { data } = await listModels(ctx)
  const listed = data.find((row) => row.id === id)
  if (listed) return listed
  const meant = await ctx.call(route, { model: id }).catch(() => undefined)
  const row = meant && data.find((other) => other.id === qualified(meant.provider, meant.model))
  if (row) return { ...row, id }
  throw new AgentError('model_not_found', `There is no model ${id} that can be used now; GET /v1/models lists them`, {
    details: { param: 'model' },
  })
}

function qualified(provider: string, model: string): string {
  return model.startsWith(`${provider}/`) ? model : `${provider}/${model}`
}
