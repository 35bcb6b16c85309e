import {
  cancel,
  chat as chatContract,
  create,
  findFunctions,
  get,
  health,
  list,
  listFunctions as listFunctionsContract,
  remove,
  update,
} from '@agentos/contracts/agent-core'
import { defineWorker, durable, serve } from '@agentos/sdk'
import { requireAgent } from './agent-record.ts'
import {
  createAgent,
  deleteAgent,
  ensureDefaultAgent,
  findAgentFunctions,
  listAgents,
  listFunctions,
  updateAgent,
} from './agents.ts'
import { cancelChat } from './cancel.ts'
import { chat } from './chat.ts'
import { checkHealth } from './health.ts'
import { SessionQueue } from './session-queue.ts'

const services = { sessions: new SessionQueue() }

export const worker = defineWorker({
  name: 'agent-core',
  start: (self) => ensureDefaultAgent(self.inRealm('realm-default')),
  functions: [
    serve(health, (_input, ctx) => checkHealth(ctx)),
    serve(create, createAgent),
    serve(get, ({ agentId }, ctx) => requireAgent(ctx, agentId)),
    serve(update, updateAgent),
    serve(list, (_input, ctx) => listAgents(ctx)),
    serve(remove, ({ agentId }, ctx) => deleteAgent(agentId, ctx)),
    serve(listFunctionsContract, ({ agentId }, ctx) => listFunctions(agentId, ctx)),
    serve(findFunctions, findAgentFunctions),
    durable(chatContract, (input, ctx) => chat(input, ctx, services)),
    serve(cancel, ({ runId }, ctx) => cancelChat(runId, ctx)),
  ],
})

if (import.meta.main) await worker.run()
