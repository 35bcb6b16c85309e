import { resolve } from 'node:path'
import type { Command } from 'commander'
import { print, printJson } from '../output.ts'
import { resolvePaths } from '../paths.ts'
import { Refusal } from '../refusal.ts'
import { countOf } from './backup.ts'
import type { GlobalOptions } from './connect.ts'
import { whileStopped } from './stopped.ts'

export function addRestore(program: Command): void {
  program
    .command('restore')
    .argument('<file>', 'a file that npm run agentos -- backup wrote, with its manifest beside it')
    .description('put the records of a backup in place; the system must not run, and the old records are kept')
    .action(async (file: string, _options: object, command: Command) => {
      const { data } = resolvePaths()
      const { restoreBackup } = await import('@agentos/engine/store-care')
      const { manifest, kept } = await whileStopped(data, () =>
        restoreBackup(resolve(file), data, Date.now()).catch((error: unknown) => {
          throw refusalOf(error)
        }),
      )
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson({ data, kept: kept ?? null, ...manifest })
      print(`${data} holds ${countOf(manifest)}, as they were on ${new Date(manifest.createdAt).toISOString()}.`)
      print(kept ? `What was there before is in ${kept}.` : 'There were no records before.')
      print('Secrets, keys, tokens and logs are as they were; indexes are made anew at the next start.')
      print(
        'Entries of the audit chain that another installation sealed are verified with its key, which is in no backup:',
      )
      print(
        'put what its data/keys/audit holds into AUDIT_HMAC_KEY in .env, behind the current key and a comma if any.',
      )
    })
}

function refusalOf(error: unknown): unknown {
  const { code, message } = error as { code?: string; message?: string }
  if (code === undefined || message === undefined) return error
  const advice: Record<string, string> = {
    data_too_new: 'Update AgentOS to the version that made it, then restore again.',
    store_in_use: 'Stop what runs on this data folder, then restore again.',
    corrupt_record: 'Use another backup; this one would bring damage with it.',
    not_found: 'Name the backup’s file; its manifest has the same name with .json behind it.',
  }
  const next = advice[code]
  return new Refusal(code, 'The backup was not restored', `${message}. Nothing was changed.`, next ? [next] : [], error)
}
