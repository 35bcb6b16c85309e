import { AgentError } from '@agentos/sdk'
import * as z from 'zod'

/** `config:` of the worker's entry in config.yaml. */
export const Settings = z.strictObject({
  /** Installed workers that may pass on what an owner decides in them; `[]` leaves it to the owner token and the page. */
  channels: z.array(z.string().min(1).max(128)).default(['channel-telegram']),
})
export type Settings = z.output<typeof Settings>

/** With settings that cannot be read nothing is guessed. */
export function readSettings(config: unknown): Settings {
  const read = Settings.safeParse(config ?? {})
  if (read.success) return read.data
  const problems = read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')
  throw new AgentError('not_configured', `The settings of approval in config.yaml cannot be used: ${problems}`)
}
