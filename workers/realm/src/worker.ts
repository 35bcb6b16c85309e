import * as contract from '@agentos/contracts/realm'
import { defineWorker, on, serve } from '@agentos/sdk'
import * as z from 'zod'
import { tellAllNews } from './lifecycle.ts'
import { purgeExpired, purgeRealm } from './purge.ts'
import {
  createRealm,
  deleteRealm,
  ensureBuiltInRealms,
  getRealm,
  listRealms,
  restoreRealm,
  updateRealm,
} from './realms.ts'
import { exportRealm, importRealm } from './transfer.ts'

/** `config:` of this worker in config.yaml. */
const Settings = z.object({
  /** Days between the deletion of a realm and its purge. */
  retentionDays: z.number().nonnegative().max(3_650).default(30),
})

let settings = Settings.parse({})

export const worker = defineWorker({
  name: 'realm',
  start: async (self) => {
    settings = Settings.parse(self.config ?? {})
    await ensureBuiltInRealms(self.state)
    tellAllNews(self).catch((error) => self.log.warn({ err: error }, 'Not all was told of the realms after the start'))
  },
  functions: [
    serve(contract.create, createRealm),
    serve(contract.get, ({ id }, ctx) => getRealm(id, ctx)),
    serve(contract.list, listRealms),
    serve(contract.update, updateRealm),
    serve(contract.remove, deleteRealm),
    serve(contract.restore, ({ id }, ctx) => restoreRealm(id, ctx)),
    serve(contract.purge, purgeRealm),
    serve(contract.purgeExpired, async (_input, ctx) => {
      await tellAllNews(ctx)
      return purgeExpired(settings.retentionDays, ctx)
    }),
    serve(contract.exportRealm, exportRealm),
    serve(contract.importRealm, importRealm),
  ],
  triggers: [on('cron', contract.purgeExpired, { expression: '30 3 * * *' })],
})

if (import.meta.main) await worker.run()
