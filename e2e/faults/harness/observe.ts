import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { IIIClient, StateEntry, StatePage } from '@agentos/sdk'
import type { System } from '@agentos/testing'
import { quantile } from './figures.ts'

/** Resident memory of a process in MB, where the system tells (Linux); elsewhere 0. */
export function memoryMb(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

export function descriptorsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0
  }
}

/** Value of a gauge or counter that has no labels. */
export async function metric(system: System, name: string): Promise<number> {
  const { text } = await system.api('GET', '/metrics')
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

/** Environment of an engine whose memory `collectedMb` can look at. */
export const COLLECTABLE = {
  NODE_OPTIONS: `--expose-gc --import=${pathToFileURL(join(import.meta.dirname, '../programs/collect.mjs')).href}`,
}

/** What the engine holds in its heap and beside it after a forced collection, in MB. */
export async function collectedMb(system: System): Promise<number> {
  process.kill(system.engine.pid, 'SIGUSR2')
  // It stands still while it collects: the signal is handled before the request.
  await system.api('GET', '/health')
  const names = ['nodejs_heap_size_used_bytes', 'nodejs_external_memory_bytes']
  const [heap = 0, external = 0] = await Promise.all(names.map((name) => metric(system, name)))
  return (heap + external) / 2 ** 20
}

/** Ids of the functions with this prefix that somebody serves. */
export async function listed(client: IIIClient, prefix: string): Promise<string[]> {
  const { functions } = await client.trigger<{ functions: { function_id: string }[] }>({
    function_id: 'engine::functions::list',
    payload: { prefix },
  })
  return functions.map((row) => row.function_id).sort()
}

/** p99 of so many calls one after the other, in milliseconds. */
export async function p99Of(count: number, call: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let n = 0; n < count; n += 1) {
    const began = performance.now()
    await call()
    times.push(performance.now() - began)
  }
  return quantile(times, 0.99)
}

/** Everything in a scope, by key. */
export async function entriesOf<T>(client: IIIClient, scope: string): Promise<Map<string, StateEntry<T>>> {
  const found = new Map<string, StateEntry<T>>()
  let after: string | undefined
  do {
    const page: StatePage<T> = await client.trigger({
      function_id: 'state::entries',
      payload: { scope, limit: 1_000, ...(after === undefined ? {} : { after }) },
    })
    for (const entry of page.entries) found.set(entry.key, entry)
    after = page.next
  } while (after !== undefined)
  return found
}
