import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomFrom } from '../harness/random.ts'
import type { PlantedBug } from '../planted/bugs.ts'
import { buildSubject, type Subject } from './build-subject.ts'
import { choicesOf, Disk, SYNCED_ONLY } from './disk.ts'
import type * as SubjectModule from './subject.ts'
import { type FileCall, record } from './trace.ts'
import { batchOf, PARTITION, statesOf, stateText } from './workload.ts'

export interface PowerCutOptions {
  seed: number
  batches: number
  /** Time for the cuts, spread evenly over the recording; where the machine is busy they take longer. */
  budgetMs: number
}

export interface PowerCutReport {
  calls: number
  acknowledged: number
  cuts: number
  /** Cuts at which an unsynced last commit was found and dropped with a warning. */
  dropped: number
  problems: string[]
}

/** So many cuts, or flips, are made at least: what is found must not depend on how fast the machine is. */
const LEAST = 300

/** A folder for the run's files, in memory where the host has that: the cuts are thousands of small folders. */
function workFolder(): string {
  try {
    return mkdtempSync('/dev/shm/agentos-power-cut-')
  } catch {
    return mkdtempSync(join(tmpdir(), 'agentos-power-cut-'))
  }
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = workFolder()
  try {
    return await work(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Recording {
  folder: string
  calls: FileCall[]
  acks: string
}

function recordWriter(folder: string, subject: Subject, { seed, batches }: PowerCutOptions): Recording {
  const data = join(folder, 'data')
  const acks = join(folder, 'acks')
  const writer = join(import.meta.dirname, 'writer.ts')
  const args = [writer, subject.module, subject.thread, data, acks, String(seed), String(batches)]
  const all = record(args, join(folder, 'trace'), [data, acks])
  rmSync(join(folder, 'trace'))
  // The index of the log lives in memory and is made anew; traces promise nothing over a power cut.
  const calls = all.filter(({ path }) => !path.endsWith('-shm') && !path.includes('traces.sqlite'))
  return { folder: data, calls, acks }
}

/**
 * Records a client and its store, then cuts the power at every call of the recording, in several ways each, and opens
 * what is left with the real code: it has to open, hold all that was acknowledged by then, and nothing but a prefix of
 * what was written. `bug` is planted in the recorded store.
 */
export async function runPowerCut(options: PowerCutOptions, bug?: PlantedBug): Promise<PowerCutReport> {
  return inFolder(async (folder) => {
    const clean = await buildSubject(join(folder, 'clean'))
    const subject = bug ? await buildSubject(join(folder, 'planted'), bug) : clean
    const { openRecords } = (await import(clean.module)) as typeof SubjectModule
    const recording = recordWriter(folder, subject, options)
    const states = statesOf(options.seed, options.batches)
    const random = randomFrom(options.seed)
    const report: PowerCutReport = { calls: recording.calls.length, acknowledged: 0, cuts: 0, dropped: 0, problems: [] }
    const disk = new Disk(recording.folder)
    const place = join(folder, 'cut')
    const names = Object.keys(choicesOf(random))
    let acked = 0
    let spent = 0
    for (const [index, call] of recording.calls.entries()) {
      if (call.path === recording.acks) {
        if (call.call === 'append') acked = ackedAfter(acked, call.bytes.toString())
      } else disk.apply(call)
      // Ahead of the budget everything is tried; behind it, places are left out until it is met again, but for the one
      // that shows what was promised and not synced: the power fails right behind an acknowledgement.
      const share = (index + 1) / recording.calls.length
      const isBehind = spent > options.budgetMs * share && report.cuts > LEAST * share
      const tried = isBehind ? (call.path === recording.acks ? [SYNCED_ONLY] : []) : names
      const began = performance.now()
      for (const name of tried) {
        const choice = choicesOf(random)[name]
        if (!choice) continue
        disk.restore(place, choice)
        const problem = judge(openRecords, place, states, acked, report)
        report.cuts += 1
        if (problem && report.problems.length < 20) {
          report.problems.push(`after call ${index} (${call.call}), ${name}: ${problem}`)
        }
      }
      spent += performance.now() - began
    }
    report.acknowledged = acked
    return report
  })
}

function ackedAfter(acked: number, line: string): number {
  return line.startsWith('end') ? acked : Math.max(acked, Number(line) + 1)
}

function judge(
  openRecords: typeof SubjectModule.openRecords,
  folder: string,
  states: ReadonlyMap<string, number>,
  acked: number,
  report: PowerCutReport,
): string | undefined {
  const warnings: string[] = []
  try {
    const records = openRecords(folder, warnings)
    const values = new Map(records.range(PARTITION, { limit: 1_000 }, 0).rows.map((row) => [row.key, row.value ?? '']))
    records.close()
    if (warnings.some((text) => text.includes('dropped'))) report.dropped += 1
    const prefix = states.get(stateText(values))
    if (prefix === undefined) return 'what is there is no state that was ever written'
    return prefix < acked ? `batch ${prefix} was acknowledged and is gone (${acked} were)` : undefined
  } catch (error) {
    return `it does not open: ${error instanceof Error ? error.message : String(error)}`
  }
}

export interface FlipReport {
  flips: number
  /** Found when opening or reading, with a typed error that names the place. */
  found: number
  /** In bytes that nothing reads. */
  harmless: number
  problems: string[]
}

/**
 * Flips one bit at a time in the files that a client left behind without closing, all of it synced, and reads
 * everything back through the store: each record is what was written or refused, none is missing.
 */
export async function runFlips(options: PowerCutOptions, bug?: PlantedBug): Promise<FlipReport> {
  return inFolder(async (folder) => {
    const subject = await buildSubject(join(folder, 'subject'), bug)
    const { openRecords } = (await import(subject.module)) as typeof SubjectModule
    const { folder: data } = recordWriter(folder, subject, options)
    const files = readdirSync(data).filter((name) => !name.endsWith('-shm') && !name.startsWith('traces'))
    const expected = stateText(finalValues(options))
    const random = randomFrom(options.seed)
    const report: FlipReport = { flips: 0, found: 0, harmless: 0, problems: [] }
    const place = join(folder, 'flip')
    const until = performance.now() + options.budgetMs
    while (performance.now() < until || report.flips < LEAST) {
      rmSync(place, { recursive: true, force: true })
      mkdirSync(place)
      for (const name of files) copyFileSync(join(data, name), join(place, name))
      const target = random() < 0.6 ? 'store.sqlite' : 'store.sqlite-wal'
      const bytes = readFileSync(join(place, target))
      const at = Math.floor(random() * bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8))
      writeFileSync(join(place, target), bytes)
      report.flips += 1
      const outcome = readBack(openRecords, place, expected)
      if (outcome === 'found') report.found += 1
      else if (outcome === 'harmless') report.harmless += 1
      else if (report.problems.length < 20) report.problems.push(`byte ${at} of ${target}: ${outcome}`)
    }
    return report
  })
}

const DESIGNED = new Set(['corrupt_record', 'data_too_new'])

function readBack(openRecords: typeof SubjectModule.openRecords, folder: string, expected: string): string {
  const warnings: string[] = []
  try {
    const records = openRecords(folder, warnings)
    try {
      const { rows } = records.range(PARTITION, { limit: 1_000 }, 0)
      if (stateText(new Map(rows.map((row) => [row.key, row.value ?? '']))) === expected) return 'harmless'
      return 'records are served that are not what was written, or are missing'
    } finally {
      records.close()
    }
  } catch (error) {
    const { code, errcode } = error as { code?: string; errcode?: number }
    // The thread turns SQLite's own words for damage into the same code.
    if (DESIGNED.has(code ?? '') || errcode !== undefined) return 'found'
    return `an error that is not designed: ${String(error)}`
  }
}

function finalValues({ seed, batches }: PowerCutOptions): Map<string, string> {
  const values = new Map<string, string>()
  for (let n = 0; n < batches; n += 1) {
    for (const write of batchOf(seed, n)) {
      if (write.op === 'put') values.set(write.key, JSON.stringify(write.value))
      else values.delete(write.key)
    }
  }
  return values
}
