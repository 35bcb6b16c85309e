import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'

/** The environment with `.env` beside config.yaml underneath it: what is really set wins. */
export function readEnvironment(root: string, env: NodeJS.ProcessEnv): Record<string, string | undefined> {
  let text: string
  try {
    text = readFileSync(join(root, '.env'), 'utf8')
  } catch {
    return { ...env }
  }
  return { ...parseEnv(text), ...env }
}
