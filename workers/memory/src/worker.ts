import { join } from 'node:path'
import {
  consolidate,
  evict,
  forget,
  get,
  kgAdd,
  kgQuery,
  kgRemove,
  list,
  purgeAgent,
  recall,
  search,
  sessionAppend,
  sessionCompact,
  sessionDelete,
  sessionGet,
  sessionList,
  sessionRepair,
  store,
  update,
} from '@agentos/contracts/memory'
import type { ParsedInputOf } from '@agentos/sdk'
import { defineWorker, type FunctionContract, type HandlerContext, type OutputOf, on, serve } from '@agentos/sdk'
import { forgetMemories, updateMemory } from './change.ts'
import { compactSession } from './compact.ts'
import { getMemory, listMemories, recallMemories, searchMemories } from './find.ts'
import { addEntity, queryGraph, removeFromGraph } from './graph.ts'
import { forEachAgent } from './realms.ts'
import { repairSession } from './repair.ts'
import { appendMessages, assertOwnWords, deleteSession, getSession, listSessions, purge } from './sessions.ts'
import { type Space, Spaces } from './spaces.ts'
import { storeMemory } from './store.ts'
import { consolidateMemories, evictMemories, joinConsolidations, joinEvictions } from './upkeep.ts'

/** How long the use of recalled memories may take to be written down after the answer. */
const NOTE_USE_MS = 10_000

const spaces = new Spaces()

/** Serves a contract in the space of the agent that the call is about. */
function inSpace<C extends FunctionContract>(
  contract: C,
  handle: (input: ParsedInputOf<C>, space: Space, ctx: HandlerContext) => Promise<OutputOf<C>>,
) {
  return serve(contract, (input, ctx) =>
    spaces.enter(ctx, (input as { agentId?: string }).agentId, (space) => handle(input, space, ctx)),
  )
}

export const worker = defineWorker({
  name: 'memory',
  start: ({ dataDir }) => spaces.start(join(dataDir, 'index', 'memory')),
  stop: () => spaces.stop(),
  functions: [
    inSpace(store, storeMemory),
    inSpace(recall, (input, space, ctx) =>
      recallMemories(input, space, () => ctx.detach({ deadlineMs: NOTE_USE_MS }), ctx),
    ),
    inSpace(search, searchMemories),
    inSpace(get, getMemory),
    inSpace(list, listMemories),
    inSpace(update, updateMemory),
    inSpace(forget, forgetMemories),
    serve(evict, async (input, ctx) => {
      const parts = await forEachAgent(spaces, ctx, input.agentId, (space) => evictMemories(input, space))
      return joinEvictions(parts, input.dryRun)
    }),
    serve(consolidate, async (input, ctx) =>
      joinConsolidations(await forEachAgent(spaces, ctx, input.agentId, (space) => consolidateMemories(input, space))),
    ),
    inSpace(kgAdd, addEntity),
    inSpace(kgQuery, queryGraph),
    inSpace(kgRemove, removeFromGraph),
    inSpace(sessionList, listSessions),
    inSpace(sessionAppend, async (input, space, ctx) => {
      assertOwnWords(input, ctx)
      return appendMessages(input, space)
    }),
    inSpace(sessionGet, getSession),
    inSpace(sessionDelete, deleteSession),
    inSpace(sessionCompact, compactSession),
    inSpace(sessionRepair, repairSession),
    inSpace(purgeAgent, (_input, space) => purge(space)),
  ],
  triggers: [on('cron', evict, { expression: '0 3 * * *' }), on('cron', consolidate, { expression: '0 */6 * * *' })],
})

if (import.meta.main) await worker.run()
