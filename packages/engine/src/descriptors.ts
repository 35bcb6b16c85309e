import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { WorkerDescriptor } from '@agentos/protocol'

/** Descriptors of the installed workers: `dist/workers/*.json`, made by the build. */
export function readDescriptors(folder: string): WorkerDescriptor[] {
  return jsonFiles(folder).map((file) => readJson<WorkerDescriptor>(join(folder, file)))
}

/** Ids of the contracts that this release has, with the worker that would serve each: `dist/contracts.json`. */
export function readKnownContracts(file: string): Map<string, string> {
  try {
    return new Map(Object.entries(readJson<Record<string, string>>(file)))
  } catch {
    return new Map()
  }
}

function jsonFiles(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.json'))
  } catch {
    return []
  }
}

function readJson<T>(file: string): T {
  return JSON.parse(readFileSync(file, 'utf8')) as T
}
