import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { Refusal } from '../refusal.ts'
import { workerFiles } from './templates.ts'

const NAME = /^[a-z][a-z0-9-]{0,62}$/
const RESERVED = ['engine', 'sandbox', 'supervisor']

/** Writes `workers/<name>` whole or not at all: whoever watches the folder never sees half a worker. Returns its path. */
export function createWorker(home: string, name: string): string {
  assertName(home, name)
  const workers = join(home, 'workers')
  const folder = join(workers, name)
  const draft = mkdtempSync(join(home, '.new-worker-'))
  try {
    for (const [file, text] of Object.entries(workerFiles(name, { zod: zodVersion(home) }))) {
      const path = join(draft, file)
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, text)
    }
    linkDependencies(home, draft, folder)
    mkdirSync(workers, { recursive: true })
    renameSync(draft, folder)
  } catch (error) {
    rmSync(draft, { recursive: true, force: true })
    throw error
  }
  return folder
}

function assertName(home: string, name: string): void {
  if (!NAME.test(name)) {
    throw new Refusal(
      'usage',
      'That is no name for a worker',
      `“${name}” is not lower-case letters, digits and dashes, beginning with a letter.`,
      ['For example: npm run agentos -- new worker weather'],
    )
  }
  if (RESERVED.includes(name)) {
    throw new Refusal('usage', 'That name is taken', `“${name}” is the system’s own.`, ['Choose another one.'])
  }
  for (const path of [join('workers', name), join('packages/contracts/src', `${name}.ts`)]) {
    if (existsSync(join(home, path))) {
      throw new Refusal('exists', 'That name is taken', `${path} is there already; nothing was changed.`, [
        'Choose another name, or delete it first.',
      ])
    }
  }
}

/** The links that an install would make, so that the worker runs before the next one. */
function linkDependencies(home: string, draft: string, folder: string): void {
  const links: [string, string][] = [
    [join('node_modules', '@agentos', 'sdk'), join(home, 'packages', 'sdk')],
    [join('node_modules', '@agentos', 'testing'), join(home, 'packages', 'testing')],
    [join('node_modules', 'zod'), join(home, 'node_modules', 'zod')],
  ]
  for (const [link, target] of links) {
    mkdirSync(dirname(join(draft, link)), { recursive: true })
    symlinkSync(relative(dirname(join(folder, link)), target), join(draft, link), 'dir')
  }
}

function zodVersion(home: string): string {
  const sdk = JSON.parse(readFileSync(join(home, 'packages/sdk/package.json'), 'utf8')) as {
    dependencies: { zod: string }
  }
  return sdk.dependencies.zod
}
