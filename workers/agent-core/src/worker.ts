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
import { DEFAULT_REALM, GUEST_REALM, requireAgent } from './agent-record.ts'
import { settleAll } from './agent-store.ts'
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
import { ModelRooms } from './history/model-rooms.ts'
import { SessionQueue } from './session-queue.ts'

const services = { sessions: new SessionQueue(), rooms: new ModelRooms() }

export const worker = defineWorker({
  name: 'agent-core',
  start: async (self) => {
    for (const realm of [DEFAULT_REALM, GUEST_REALM]) await ensureDefaultAgent(self.inRealm(realm), realm)
    // Nobody waits for it: an agent that is used before has its grants brought into force then.
    settleAll(self).catch((error) => self.log.warn({ err: error }, 'Not all grants were looked at after the start'))
  },
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
