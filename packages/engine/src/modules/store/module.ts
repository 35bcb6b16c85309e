import type { ErrorBody } from '@agentos/protocol'
import type { EngineModule } from '../../core/module.ts'
import type { BackupManifest } from '../../store/backup.ts'
import { object, STRING } from '../json-schema.ts'
import { serve } from '../serve.ts'

/** What the module needs of the embedded store. */
export interface BackedUp {
  backup(target: string, done: (manifest: BackupManifest | undefined, error?: ErrorBody) => void): void
}

/** `engine::store::*`: the care of the store, for the owner alone. */
export function createStoreModule(store: BackedUp): EngineModule {
  return {
    name: 'store',
    start(host) {
      serve(
        host,
        {
          id: 'engine::store::backup',
          summary: 'Copy all records, as they are now, into a new file on the host of the engine',
          effects: 'write',
          access: 'owner',
          request_format: object({ path: STRING }),
        },
        (input, call) => {
          store.backup(input.string('path'), (manifest, error) =>
            error ? call.fail(error.code, error.message, error.details) : call.reply(manifest),
          )
        },
      )
    },
  }
}
