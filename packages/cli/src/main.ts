import { CommanderError } from 'commander'
import { printError } from './output.ts'
import { createProgram } from './program.ts'
import { Refusal } from './refusal.ts'

/** Exit codes: 0 done, 1 failed or not healthy, 2 called wrongly, 3 nothing answers, 130 interrupted. */
const EXIT_CODES: Record<string, number> = { usage: 2, unreachable: 3 }

async function main(argv: string[]): Promise<void> {
  const program = createProgram()
  try {
    await program.parseAsync(argv)
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has said what was wrong; asking for help is no mistake.
      process.exitCode = error.exitCode === 0 ? 0 : 2
      return
    }
    printError(error, program.opts().json === true)
    process.exitCode = error instanceof Refusal ? (EXIT_CODES[error.code] ?? 1) : 1
  }
}

// A reader that goes away (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

await main(process.argv)
