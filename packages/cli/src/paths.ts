import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expandHome } from '@agentos/protocol'
import { Refusal } from './refusal.ts'

/** Where things are. All absolute. */
export interface Paths {
  /** The checkout: holds `dist/`, `workers/`, `packages/`. */
  home: string
  /** Folder of config.yaml; the same as `home` unless told otherwise. */
  root: string
  config: string
  data: string
  dist: string
  workers: string
}

/**
 * `AGENTOS_CONFIG` names the file, `AGENTOS_ROOT` its folder, `AGENTOS_DATA` the data folder; relative ones count from
 * the caller's folder, `~/x` from the home folder, empty ones are ignored. Without them everything is in the checkout that this file belongs to.
 */
export function resolvePaths(env: NodeJS.ProcessEnv = process.env, cwd = process.cwd()): Paths {
  const home = findHome(dirname(fileURLToPath(import.meta.url)))
  const given = (name: string) => (env[name] ? resolve(cwd, inHome(name, env[name])) : undefined)
  const config = given('AGENTOS_CONFIG')
  const root = given('AGENTOS_ROOT') ?? (config ? dirname(config) : home)
  return {
    home,
    root,
    config: config ?? join(root, 'config.yaml'),
    data: given('AGENTOS_DATA') ?? join(root, 'data'),
    dist: join(home, 'dist'),
    workers: join(home, 'workers'),
  }
}

function inHome(name: string, path: string): string {
  try {
    return expandHome(path, homedir())
  } catch (error) {
    throw new Refusal('usage', `${name} cannot be used`, (error as Error).message)
  }
}

/** Up from `dist/` or `packages/cli/src/` to the folder of the workspace. */
function findHome(from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'pnpm-workspace.yaml'))) return folder
    if (dirname(folder) === folder) return dirname(from)
  }
}
