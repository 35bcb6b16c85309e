import { Command } from 'commander'
import manifest from '../package.json' with { type: 'json' }
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
import { addStop } from './commands/stop.ts'
import { addToken } from './commands/token.ts'
import { addTrace } from './commands/trace.ts'
import { addUp } from './commands/up.ts'

const COMMANDS = [
  addUp,
  addStatus,
  addStop,
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
  addApprovals,
  addBackup,
  addRestore,
  addDoctor,
]

/** The command line as it is called after a clone, when nothing of ours is on the PATH. */
export function createProgram(): Command {
  const program = new Command('npm run agentos --')
    .description('Start AgentOS, see what runs, call it, talk to it.')
    .version(`agentos ${manifest.version}`, '--version', 'the version that is built')
    .option('--json', 'machine-readable output, errors too')
    .option(
      '--realm <id or slug>',
      'look into another realm than your own: guest, where clients without a token are, or a tenant’s',
    )
    .exitOverride()
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      '\nEnvironment: AGENTOS_API_URL (where it runs), AGENTOS_DATA (data folder), AGENTOS_CONFIG (config.yaml).',
    )
  for (const add of COMMANDS) add(program)
  return program
}
