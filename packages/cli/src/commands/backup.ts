import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { BackupManifest } from '@agentos/engine/store-care'
import type { Command } from 'commander'
import { print, printJson } from '../output.ts'
import { connect, type GlobalOptions } from './connect.ts'

/** A store of gigabytes takes minutes. */
const LONGEST_MS = 600_000

export function addBackup(program: Command): void {
  program
    .command('backup')
    .argument('<file>', 'a new file, or a folder in which one gets the name of its time')
    .description('copy every record of the running system into one file, with a manifest beside it')
    .action(async (place: string, _options: object, command: Command) => {
      const target = targetOf(place, new Date())
      const manifest = await connect(command).api.post<BackupManifest>('/v1/functions/call', {
        functionId: 'engine::store::backup',
        payload: { path: target },
        timeoutMs: LONGEST_MS,
      })
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson({ file: target, ...manifest })
      print(`${target} holds ${countOf(manifest)}, as they were at sequence ${manifest.lastSeq}.`)
      print(`Its manifest is ${target}.json; both are needed to restore it.`)
      print(`In it: ${manifest.contains.join(', ')}.`)
      print(`Not in it: ${manifest.omits.join(', ')}.`)
    })
}

export function countOf({ live, partitions, bytes }: BackupManifest): string {
  return `${live} records of ${partitions} partitions (${(bytes / 1024 / 1024).toFixed(1)} MB)`
}

/** Exported for its test. */
export function targetOf(place: string, now: Date): string {
  const path = resolve(place)
  const isFolder = /[\\/]$/.test(place) || (existsSync(path) && statSync(path).isDirectory())
  return isFolder ? join(path, `agentos-${now.toISOString().slice(0, 19).replaceAll(':', '-')}.backup`) : path
}
