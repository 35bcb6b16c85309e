import type { fileWrite } from '@agentos/contracts/toolbox'
import { type KeyedCall, Keys } from '@agentos/keyed'
import type { OutputOf, ParsedInputOf, StateClient } from '@agentos/sdk'
import type { Workspace } from './workspace.ts'

/** What is known of calls that came with an idempotency key. */
const SCOPE = 'toolbox-keys'
const keys = new Keys()

type Written = OutputOf<typeof fileWrite>

/**
 * Writes a file once for the key of the call. Where a process was killed on the way, the file tells whether it was
 * written: a hash that was expected is then that of the content that it replaced.
 */
export function writeOnce(
  files: Workspace,
  ctx: KeyedCall & { state: StateClient },
  input: ParsedInputOf<typeof fileWrite>,
): Promise<Written> {
  const { realm } = ctx
  return keys.once<{ created: boolean }, Written>(
    { state: ctx.state, scope: SCOPE, call: ctx, input },
    {
      plan: async () => ({ created: (await files.hashOf(realm, input.path)) === undefined }),
      carryOut: async ({ created }, again) => {
        const written = again && (await files.written(realm, input))
        return written ? { ...written, created } : files.write(realm, input)
      },
    },
  )
}
