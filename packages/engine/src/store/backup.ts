import { createHash } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, isAbsolute } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { EngineError } from '@agentos/protocol'
import * as z from 'zod'
import { assertReadable, syncFolder } from './data-format.ts'
import { beginWalk, checkStructure, type Walk, walkOn } from './integrity.ts'
import { formatOf } from './migrations.ts'
import type { RecordDatabase } from './record-database.ts'

const Manifest = z.object({
  kind: z.literal('agentos-backup'),
  /** Format of the data; a version that knows only lower ones refuses it. */
  format: z.int().positive(),
  createdAt: z.int(),
  bytes: z.int(),
  sha256: z.string(),
  records: z.int(),
  live: z.int(),
  partitions: z.int(),
  lastSeq: z.int(),
  contains: z.array(z.string()),
  omits: z.array(z.string()),
})

/** What stands beside a backup: what is in it, and how to tell that it is whole. */
export type BackupManifest = z.infer<typeof Manifest>

const CONTAINS = ['every record of the store: state, and what modules and workers keep in it']
const OMITS = [
  'secrets.json',
  'keys/audit (seals the audit chain: keep a copy apart from the backup, whoever has both can forge it)',
  'owner token and credentials',
  'logs',
  'traces',
  'indexes (workers make them anew)',
]

export function manifestPath(target: string): string {
  return `${target}.json`
}

/**
 * Copies the records into a new file, checks every one of them in the copy, and puts copy and manifest in place only
 * when both are whole and on disk. Throws `invalid_input` where the place is not free.
 */
export async function writeBackup(records: RecordDatabase, target: string): Promise<BackupManifest> {
  assertFree(target)
  const part = `${target}.part`
  rmSync(part, { force: true })
  try {
    await records.copyTo(part)
    chmodSync(part, 0o600)
    const manifest = await describe(part)
    syncFile(part)
    writeFileSync(`${manifestPath(target)}.part`, `${JSON.stringify(manifest, null, 2)}\n`, {
      mode: 0o600,
      flush: true,
    })
    renameSync(part, target)
    renameSync(`${manifestPath(target)}.part`, manifestPath(target))
    syncFolder(dirname(target))
    return manifest
  } catch (error) {
    for (const file of [part, `${part}-wal`, `${part}-shm`, `${part}-journal`, `${manifestPath(target)}.part`]) {
      rmSync(file, { force: true })
    }
    throw error
  }
}

function assertFree(target: string): void {
  if (!isAbsolute(target)) throw unusable(`The backup's path has to be absolute, and ${target} is not`)
  if (existsSync(target) || existsSync(manifestPath(target))) {
    throw unusable(`${target} exists already; a backup never replaces another`)
  }
  if (!existsSync(dirname(target))) throw unusable(`The folder ${dirname(target)} does not exist; create it first`)
}

function unusable(text: string): EngineError {
  return new EngineError('invalid_input', text)
}

async function describe(path: string): Promise<BackupManifest> {
  const { walk, format } = await checkCopy(path)
  const [first] = walk.damage
  if (first) {
    throw new EngineError('corrupt_record', `There is no backup: ${first.text}. See \`npm run agentos -- doctor\``)
  }
  return {
    kind: 'agentos-backup',
    format,
    createdAt: Date.now(),
    bytes: statSync(path).size,
    sha256: await hashOf(path),
    records: walk.records,
    live: walk.live,
    partitions: walk.partitions.size,
    lastSeq: walk.lastSeq,
    contains: CONTAINS,
    omits: OMITS,
  }
}

/** Checks a copy record by record, giving way to other work between slices. */
async function checkCopy(path: string): Promise<{ walk: Walk; format: number }> {
  const db = new DatabaseSync(path)
  try {
    // One file, with nothing beside it.
    db.exec('PRAGMA journal_mode = DELETE')
    const walk = beginWalk()
    while (!walk.done) {
      walkOn(db, walk)
      await nextTurn()
    }
    return { walk, format: formatOf(db) }
  } finally {
    db.close()
  }
}

/**
 * Checks a backup whole: manifest, checksum of the file, format, every record and every index. Throws with a sentence
 * that says what is wrong.
 */
export async function verifyBackup(file: string): Promise<BackupManifest> {
  if (!existsSync(file)) throw new EngineError('not_found', `There is no backup at ${file}`)
  const manifest = readManifest(file)
  assertReadable(manifest.format, file)
  const { size } = statSync(file)
  if (size !== manifest.bytes || (await hashOf(file)) !== manifest.sha256) {
    throw new EngineError('corrupt_record', `${file} is not what was written: its checksum is not that of its manifest`)
  }
  const db = new DatabaseSync(`file:${encodeURI(file)}?immutable=1`, { readOnly: true })
  try {
    assertReadable(formatOf(db), file)
    const walk = beginWalk()
    while (!walk.done) walkOn(db, walk)
    const [first] = [...checkStructure(db), ...walk.damage]
    if (first) throw new EngineError('corrupt_record', `${file} is damaged: ${first.text}`)
    if (walk.records !== manifest.records || walk.lastSeq !== manifest.lastSeq) {
      throw new EngineError('corrupt_record', `${file} does not hold the ${manifest.records} records of its manifest`)
    }
  } finally {
    db.close()
  }
  return manifest
}

function readManifest(file: string): BackupManifest {
  const path = manifestPath(file)
  if (!existsSync(path)) {
    throw new EngineError('not_found', `The manifest ${path} is missing; it has to lie beside the backup`)
  }
  try {
    return Manifest.parse(JSON.parse(readFileSync(path, 'utf8')))
  } catch (cause) {
    throw new EngineError('corrupt_record', `${path} is not the manifest of a backup`, { cause })
  }
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** Makes the bytes of a file durable. */
export function syncFile(path: string): void {
  const file = openSync(path, 'r+')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}
