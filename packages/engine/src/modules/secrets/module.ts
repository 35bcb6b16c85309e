import type { KnownSecrets, SecretFingerprint } from '@agentos/protocol'
import type { EngineModule } from '../../core/module.ts'
import type { Input } from '../input.ts'
import { arrayOf, integer, object, STRING } from '../json-schema.ts'
import { serve } from '../serve.ts'

/**
 * Takes fingerprints of secrets from the workers that hold them, so that the engine blanks by value what it may not
 * hold. In memory only: each worker tells them again on every connection, before anything else.
 */
export function createSecretsModule(secrets: KnownSecrets): EngineModule {
  return {
    name: 'secrets',
    start(host) {
      serve(
        host,
        {
          id: 'engine::secrets::learn',
          summary: 'Blank what has these fingerprints in logs, traces and errors; sent by installed workers',
          effects: 'write',
          idempotent: true,
          access: 'owner',
          request_format: object({
            fingerprints: arrayOf(object({ anchor: integer(0, 65_535), length: integer(1), hash: STRING })),
          }),
        },
        (input, call) => {
          secrets.add(fingerprintsIn(input))
          call.reply({ success: true })
        },
      )
    },
  }
}

function fingerprintsIn(input: Input): SecretFingerprint[] {
  return input.list('fingerprints').map((item) => {
    const { anchor, length, hash } = (item ?? {}) as Partial<SecretFingerprint>
    const isWhole = Number.isInteger(anchor) && Number.isInteger(length) && typeof hash === 'string'
    if (!isWhole) throw input.mismatch('each of `fingerprints` has to be {anchor, length, hash}')
    return { anchor, length, hash } as SecretFingerprint
  })
}
