import { expect, it } from 'vitest'
import { startCore } from '../../../test/peers.ts'
import { createCronModule } from '../cron/module.ts'
import { createJournalModule } from '../journal/module.ts'
import { createPubsubModule } from '../pubsub/module.ts'
import { createQueueModule } from '../queue/module.ts'
import { createStateModule } from '../state/module.ts'
import { createStoreModule } from '../store/module.ts'
import { createTracesModule } from '../traces/module.ts'
import { createKeysModule } from './module.ts'

/** Done twice they do more, and no record of theirs can lie beside a key: after a crash in between nobody knows. */
const UNKNOWN_AFTER_A_CRASH = ['engine::store::backup', 'engine::workers::kill', 'publish']

it('every function of the engine that changes something recognizes a key, or may be repeated; few say that they cannot', () => {
  const { core } = startCore({
    modules: [
      createKeysModule({ kept: 10, bytes: 10_000, maxResultBytes: 1_000 }),
      createStoreModule({ backup() {} }),
      createTracesModule({ version: '0.1.0' }),
      createStateModule(),
      createPubsubModule(),
      createCronModule(),
      createQueueModule(),
      createJournalModule(),
    ],
  })
  const unsafe = [...core.registry.builtinFunctions()]
    .filter(({ effects, idempotent, keyed }) => effects !== 'read' && !idempotent && !keyed)
    .map(({ id }) => id)
  expect(unsafe.sort()).toEqual(UNKNOWN_AFTER_A_CRASH)
})
