import type { Paths } from './paths.ts'
import { Refusal } from './refusal.ts'
import { readInstalled } from './supervisor/installed.ts'

/** What the engine would refuse at its start, in its words. `env` is the environment that it would have. */
export async function assertEngineTakes(paths: Paths, env: Record<string, string>): Promise<void> {
  const { ConfigError, loadConfig } = await import('@agentos/engine/config')
  const installed = new Set(readInstalled(paths.dist).map(({ name }) => name))
  try {
    loadConfig(paths.config, env, installed)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    throw new Refusal(
      'config_invalid',
      'The engine would not start with this config.yaml',
      `${error.message}.`,
      ['Correct it and give the command again. The engine runs on with what it read at its start.'],
      error,
    )
  }
}
