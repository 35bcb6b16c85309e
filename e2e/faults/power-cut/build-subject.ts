import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import type { PlantedBug } from '../planted/bugs.ts'
import { plant, ROOT } from '../planted/plant.ts'

export interface Subject {
  /** Module with `openSqliteStore` and `openRecords`. */
  module: string
  thread: string
}

/** Bundles the store into a folder, with or without a bug. */
export async function buildSubject(folder: string, bug?: PlantedBug): Promise<Subject> {
  await build({
    entryPoints: {
      subject: join(import.meta.dirname, 'subject.ts'),
      thread: join(ROOT, 'packages/engine/src/store/thread.ts'),
    },
    outdir: folder,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    logLevel: 'silent',
    plugins: bug ? [plant([bug])] : [],
  })
  return {
    module: pathToFileURL(join(folder, 'subject.mjs')).href,
    thread: pathToFileURL(join(folder, 'thread.mjs')).href,
  }
}
