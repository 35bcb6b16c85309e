import type { Command } from 'commander'
import { Api } from '../api.ts'
import { addressOf, loadSettings } from '../config.ts'
import { readEnvironment } from '../dotenv.ts'
import { type Paths, resolvePaths } from '../paths.ts'
import { readOwnerToken } from '../supervisor/credentials.ts'

export interface GlobalOptions {
  json?: boolean
  realm?: string
}

/**
 * The API of the running system: `AGENTOS_API_URL`, else the address that config.yaml gives it on this host. It looks
 * into the realm that `--realm` names, else into the owner's own.
 */
export function connect(command: Command): { api: Api; paths: Paths } {
  const paths = resolvePaths()
  const given = process.env.AGENTOS_API_URL
  const base = given || `http://${addressOf(loadSettings(paths.config, readEnvironment(paths.root, process.env)).http)}`
  return { api: new Api(base, readOwnerToken(paths.data), command.optsWithGlobals<GlobalOptions>().realm), paths }
}
