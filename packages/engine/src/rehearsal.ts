import type { WorkerDescriptor } from '@agentos/protocol'
import { Catalogue } from './core/catalogue.ts'
import { Core } from './core/core.ts'
import type { DeclaredProblem } from './core/declared-triggers.ts'
import type { Ports } from './core/ports.ts'
import { ChannelTable } from './edge/channels.ts'
import { coreView } from './edge/http/core-view.ts'
import { createHttpEdge } from './edge/http/edge.ts'
import { createCronModule } from './modules/cron/module.ts'
import { createEngineModule } from './modules/engine/functions.ts'
import { createJournalModule } from './modules/journal/module.ts'
import { createPubsubModule } from './modules/pubsub/module.ts'
import { createQueueModule } from './modules/queue/module.ts'
import { createStateModule } from './modules/state/module.ts'
import { createTracesModule } from './modules/traces/module.ts'
import { MemoryStore } from './store/memory-store.ts'
import { systemClock, systemIds } from './system-ports.ts'

/**
 * What the engine would find wrong with these workers together: triggers and routes that it would not bind, ids that
 * two of them declare. Nothing is started, listened on or written. Where two collide the later one is named.
 */
export function rehearse(workers: readonly WorkerDescriptor[]): DeclaredProblem[] {
  const accepted: WorkerDescriptor[] = []
  const problems: DeclaredProblem[] = []
  for (const worker of workers) {
    try {
      new Catalogue([...accepted, worker])
      accepted.push(worker)
    } catch (error) {
      problems.push(collision(worker.name, error as Error))
    }
  }
  return [...problems, ...start(new Catalogue(accepted)).declared.problemsOf()]
}

const collision = (worker: string, { message }: Error): DeclaredProblem => ({
  worker,
  id: worker,
  triggerType: '',
  functionId: '',
  path: [],
  message,
})

const silent = { debug() {}, info() {}, warn() {}, error() {} }

function start(catalogue: Catalogue): Core {
  // Time stands still: nothing is ever due.
  const timers = { set: (delayMs: number) => ({ due: delayMs }), clear() {} }
  const store = new MemoryStore({ clock: systemClock, timers })
  const ports: Ports = { clock: systemClock, timers, ids: systemIds, store, log: silent }
  const core = new Core({ ports, catalogue })
  const channels = new ChannelTable(ports, core.guestShare)
  // Nothing runs here, so there is nothing to count.
  const facts = { runs: () => ({ open: [], ended: new Map() }), jobs: () => ({ depth: 0, dead: 0 }) }
  const tokens = { grantOf: () => undefined }
  const edge = createHttpEdge({ core: coreView(core), channels, tokens, version: '', facts })
  core.start([
    createEngineModule(core),
    createTracesModule({ version: '' }),
    createStateModule(),
    createPubsubModule(),
    createCronModule(),
    createQueueModule(),
    createJournalModule({ openWriter: (ref) => channels.openWriter(ref) }),
    edge.module,
  ])
  edge.addContracts()
  return core
}
