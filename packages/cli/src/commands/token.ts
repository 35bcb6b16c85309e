import type { Command } from 'commander'
import { print, printJson } from '../output.ts'
import { resolvePaths } from '../paths.ts'
import { ownerTokenPath, rotateOwnerToken } from '../supervisor/credentials.ts'
import { prepareDataFolder } from '../supervisor/data-folder.ts'
import type { GlobalOptions } from './connect.ts'

export function addToken(program: Command): void {
  program
    .command('token')
    .description('the owner’s token')
    .command('rotate')
    .description('replace it; the old one is void within a second')
    .action((_options: object, command: Command) => {
      const { data } = resolvePaths()
      prepareDataFolder(data)
      rotateOwnerToken(data)
      const file = ownerTokenPath(data)
      if (command.optsWithGlobals<GlobalOptions>().json) return printJson({ rotated: true, file })
      print(`The owner’s token is new. It stands in ${file}.`)
      print('Commands of this folder use it from now on; npm run agentos -- open gives the page a new code.')
    })
}
