import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import type { TriggerDescriptor, WorkerDescriptor } from '../packages/protocol/src/index.ts'
import type { Worker } from '../packages/sdk/src/index.ts'
import { startSystem } from '../packages/testing/src/index.ts'

/** What one worker really does, beside what its manifest says it does. */
export interface Comparison {
  declared: Pick<WorkerDescriptor, 'name' | 'functions' | 'triggers'>
  /** Ids that its connection registered with the engine; `undefined` where it never connected. */
  registered: readonly string[] | undefined
  bound: readonly TriggerDescriptor[]
}

/** Starts every built worker against a real engine and looks at what it registers. */
export async function observeWorkers(dist: string): Promise<Comparison[]> {
  const folder = join(dist, 'workers')
  const files = (await readdir(folder)).filter((name) => name.endsWith('.json'))
  const declared = await Promise.all(
    files.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as WorkerDescriptor),
  )
  const system = await startSystem({ dist, workers: declared.map(({ name }) => name) })
  try {
    const { workers } = await system
      .client({ owner: true })
      .trigger<Record<string, never>, { workers: { name: string; functions: string[] }[] }>({
        function_id: 'engine::workers::list',
        payload: {},
      })
    const comparisons = declared.map(async (descriptor) => ({
      declared: descriptor,
      registered: workers.find(({ name }) => name === descriptor.name)?.functions,
      bound: await boundTriggers(dist, descriptor.name),
    }))
    return await Promise.all(comparisons)
  } finally {
    await system.stop()
  }
}

/**
 * One sentence for each difference; none where worker and manifest agree. What a manifest declares is bound by the
 * engine, so a worker's code need not bind it again.
 */
export function differences({ declared, registered, bound }: Comparison): string[] {
  const { name, functions, triggers } = declared
  if (!registered) return [`${name} did not connect to the engine`]
  const ids = functions.map(({ id }) => id)
  const missing = (list: readonly TriggerDescriptor[], from: readonly TriggerDescriptor[]) =>
    list.filter((trigger) => !from.some((other) => isDeepStrictEqual(plain(trigger), plain(other))))
  return [
    ...ids.filter((id) => !registered.includes(id)).map((id) => `${name} declares ${id}, but does not register it`),
    ...registered.filter((id) => !ids.includes(id)).map((id) => `${name} registers ${id}, but does not declare it`),
    ...missing(bound, triggers).map((trigger) => `${name} binds ${said(trigger)}, but does not declare it`),
  ]
}

/** The namespace is kept free: code runs behind functions that an authority decides on, never as a worker's own. */
export function sandboxIds({ declared, registered = [] }: Comparison): string[] {
  return registered.filter((id) => id.startsWith('sandbox::')).map((id) => `${declared.name} registers ${id}`)
}

/** As it would travel: what JSON leaves out is not a difference. */
const plain = (trigger: TriggerDescriptor): unknown =>
  JSON.parse(JSON.stringify({ ...trigger, config: trigger.config ?? {} }))

const said = ({ type, function_id, config }: TriggerDescriptor): string =>
  `${type} → ${function_id} ${JSON.stringify(config ?? {})}`

/** The triggers of the built worker itself; the engine's list shows declared ones whether or not they are bound. */
async function boundTriggers(dist: string, name: string): Promise<TriggerDescriptor[]> {
  const { worker } = (await import(pathToFileURL(join(dist, 'bundles', `${name}.mjs`)).href)) as { worker: Worker }
  return (worker.triggers ?? []).map(({ type, functionId, config }) => ({ type, function_id: functionId, config }))
}
