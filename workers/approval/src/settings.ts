import * as z from 'zod'

/** `config:` of the worker's entry in config.yaml. */
export const Settings = z.strictObject({
  /** Installed workers that may pass on what an owner decides in them; `[]` leaves it to the owner token and the page. */
  channels: z.array(z.string().min(1).max(128)).default(['channel-telegram']),
})
export type Settings = z.output<typeof Settings>
