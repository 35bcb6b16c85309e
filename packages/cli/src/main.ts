import { Command, CommanderError } from 'commander'
import { addApprovals } from './commands/approvals.ts'
import { addBackup } from './commands/backup.ts'
import { addCall } from './commands/call.ts'
import { addChat } from './commands/chat.ts'
import { addDoctor } from './commands/doctor.ts'
import { addFunctions } from './commands/functions.ts'
import { addLogs } from './commands/logs.ts'
import { addNew } from './commands/new.ts'
import { addOpen } from './commands/open.ts'
import { addPid } from './commands/pid.ts'
import { addRestart } from './commands/restart.ts'
import { addRestore } from './commands/restore.ts'
import { addRuns } from './commands/runs.ts'
import { addStatus } from './commands/status.ts'
import { addToken } from './commands/token.ts'
import { addTrace } from './commands/trace.ts'
import { addUp } from './commands/up.ts'
import { printError } from './output.ts'
import { Refusal } from './refusal.ts'

/** Exit codes: 0 done, 1 failed or not healthy, 2 called wrongly, 3 nothing answers, 130 interrupted. */
const EXIT_CODES: Record<string, number> = { usage: 2, unreachable: 3 }

function createProgram(): Command {
  const program = new Command('agentos')
    .description('Start AgentOS, see what runs, call it, talk to it.')
    .option('--json', 'machine-readable output, errors too')
    .exitOverride()
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      '\nEnvironment: AGENTOS_API_URL (where it runs), AGENTOS_DATA (data folder), AGENTOS_CONFIG (config.yaml).',
    )
  const commands = [
    addUp,
    addStatus,
    addPid,
    addRestart,
    addFunctions,
    addCall,
    addChat,
    addTrace,
    addRuns,
    addNew,
    addOpen,
    addToken,
    addLogs,
  ]
  for (const add of [...commands, addApprovals, addBackup, addRestore, addDoctor]) add(program)
  return program
}

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
