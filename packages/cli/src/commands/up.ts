import type { Command } from 'commander'
import { resolvePaths } from '../paths.ts'

export function addUp(program: Command): void {
  program
    .command('up')
    .description('start the engine and every worker, and stay in the foreground (npm start)')
    .option('--dev', 'run from the sources and restart what changes (npm run dev)')
    .action(async (options: { dev?: boolean }) => {
      // The supervisor brings its log with it; the other commands are quicker without.
      const { up } = await import('../supervisor/up.ts')
      process.exitCode = await up(resolvePaths(), { dev: options.dev ?? false })
    })
}
