import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Written by each build: workers that it could not build, each with what is wrong and where. */
export const unbuiltFile = (dist: string): string => join(dist, '.cache', 'unbuilt.json')

export function readUnbuilt(dist: string): Record<string, string> {
  try {
    return JSON.parse(readFileSync(unbuiltFile(dist), 'utf8')) as Record<string, string>
  } catch {
    return {}
  }
}
