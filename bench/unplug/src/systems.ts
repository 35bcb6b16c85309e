import { existsSync } from 'node:fs'
import { createDatabase, postgresVersion } from '../../src/postgres.ts'
import { restateServerBinary, rivalProgram, rivalVersion } from '../../src/rivals.ts'
import { AgentOs } from './agentos.ts'
import type { Contestant } from './contestant.ts'
import { Library } from './library.ts'
import { Restate } from './restate.ts'

/** One of the systems that are compared. */
export interface System {
  id: string
  name: string
  /** What exactly was run; `undefined` with a reason where it cannot be run here. */
  version(): Promise<{ version: string } | { missing: string }>
  /** Runs in this folder, against the world at this address; the resource is let go of at the end. */
  open(folder: string, world: string, resources: AsyncDisposableStack): Promise<Contestant>
}

const versions = (...packages: string[]) => packages.map((name) => `${name} ${rivalVersion(name)}`).join(', ')

const library = (id: string, name: string, ...packages: string[]): System => ({
  id,
  name,
  version: async () => ({ version: versions(...packages) }),
  open: async (folder, world) => new Library(name, rivalProgram(id), [folder, world]),
})

const agentos: System = {
  id: 'agentos',
  name: 'AgentOS',
  version: async () => ({ version: 'this commit' }),
  open: async (folder, world) => new AgentOs('AgentOS', folder, world),
}

const restate: System = {
  id: 'restate',
  name: 'Restate',
  version: async () =>
    existsSync(restateServerBinary())
      ? { version: versions('@restatedev/restate-server', '@restatedev/restate-sdk') }
      : { missing: 'its server has no binary for this platform' },
  open: async (folder, world) => new Restate('Restate', folder, world),
}

const dbos: System = {
  id: 'dbos',
  name: 'DBOS',
  version: async () => {
    const server = await postgresVersion()
    if (server === undefined) return { missing: 'there is no PostgreSQL server on this machine' }
    return { version: `${versions('@dbos-inc/dbos-sdk')}, PostgreSQL ${server}` }
  },
  open: async (folder, world, resources) => {
    const database = await createDatabase(`agentos_unplug_${process.pid}`)
    resources.use(database)
    return new Library('DBOS', rivalProgram('dbos'), [folder, world, database.url])
  },
}

export const SYSTEMS: readonly System[] = [
  agentos,
  restate,
  dbos,
  library('langgraph', 'LangGraph.js', '@langchain/langgraph', '@langchain/langgraph-checkpoint-sqlite'),
  library('mastra-workflow', 'Mastra, workflow', '@mastra/core', '@mastra/libsql'),
  library('mastra', 'Mastra, durable agent', '@mastra/core', '@mastra/libsql'),
  library('openai-agents', 'OpenAI Agents SDK', '@openai/agents'),
]
