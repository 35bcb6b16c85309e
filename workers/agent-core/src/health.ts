import type { health } from '@agentos/contracts/agent-core'
import type { Caller, OutputOf } from '@agentos/sdk'

const VERSION = '0.1.0'

interface WorkerRow {
  name: string
  runtime: string | null
  status: string
}

/** `workers` counts connected workers, the engine's own modules apart; `uptime` is this process's, in seconds. */
export async function checkHealth(caller: Caller): Promise<OutputOf<typeof health>> {
  const { workers } = await caller.trigger<{ workers: WorkerRow[] }>({
    function_id: 'engine::workers::list',
    payload: {},
  })
  const connected = workers.filter((row) => row.runtime !== 'engine' && row.status === 'connected')
  return { status: 'healthy', version: VERSION, workers: connected.length, uptime: process.uptime() }
}
