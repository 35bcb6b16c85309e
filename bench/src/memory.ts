import { readFileSync } from 'node:fs'

export interface Memory {
  /** Resident, in MB: pages shared with others count in full. */
  rss: number
  /** Proportional, in MB: a page that several share counts as its part. */
  pss: number
}

/** Of one process, as Linux accounts it; `undefined` elsewhere. */
export function memoryOf(pid: number): Memory | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
    const mb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) / 1_024
    return { rss: mb('Rss'), pss: mb('Pss') }
  } catch {
    return undefined
  }
}
