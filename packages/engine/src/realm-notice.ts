import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from './core/ports.ts'

const NOTICE =
  'From this version on, clients without a token live in a realm of their own, realm-guest. What they made before is still in realm-default: it is the owner’s now, and nobody without a token reaches it. Look at theirs with npm run agentos -- --realm guest …'

/** Says that this folder was told of, or never had to be. */
const MARKER = 'guests-apart'

/**
 * Before guests had a realm of their own, what they made went into the owner's, and it stays there. Tells so once, at the
 * first start on a data folder of that time, and returns what it told; a new folder (`used` is false) has nothing to be told.
 */
export function tellOfGuestRealm(folder: string, used: boolean, log: Log): string | undefined {
  const marker = join(folder, MARKER)
  if (existsSync(marker)) return undefined
  if (used) log.warn({}, NOTICE)
  writeFileSync(marker, '1\n', { flush: true })
  return used ? NOTICE : undefined
}
