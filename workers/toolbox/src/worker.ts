import * as toolbox from '@agentos/contracts/toolbox'
import { AgentError, defineWorker, serve, type WorkerSelf } from '@agentos/sdk'
import { work } from './calculation.ts'
import { writeOnce } from './files/keyed-writes.ts'
import { Workspace } from './files/workspace.ts'
import { Mailer } from './mail/mailer.ts'
import { readEnvironment, Settings, workspaceOf } from './settings.ts'
import { Guard } from './web/guard.ts'
import { findOwnPorts } from './web/own-ports.ts'
import { WebClient } from './web/requests.ts'

let web: WebClient
let files: Workspace
let mail: Mailer

export const worker = defineWorker({
  name: 'toolbox',
  start: async (self) => {
    const settings = readSettings(self)
    const environment = readEnvironment()
    web = new WebClient(new Guard(settings, await findOwnPorts(environment.root)), settings)
    files = new Workspace(workspaceOf(settings, environment.root), settings.max_file_bytes)
    mail = new Mailer(settings, environment)
  },
  functions: [
    serve(toolbox.webFetch, (input, ctx) => web.fetchPage(input, ctx)),
    serve(toolbox.httpRequest, (input, ctx) => web.request(input, ctx)),
    serve(toolbox.fileRead, (input, ctx) => files.read(ctx.realm, input)),
    serve(toolbox.fileWrite, (input, ctx) => writeOnce(files, ctx, input)),
    serve(toolbox.calculate, ({ expression }) => work(expression)),
    serve(toolbox.emailDraft, (input, ctx) => mail.draft(input, ctx)),
    serve(toolbox.emailCheck, (input, ctx) => mail.check(input, ctx)),
    serve(toolbox.emailSend, (input, ctx) => mail.send(input, ctx)),
  ],
})

/** With settings that cannot be read nothing is guessed: a limit that was meant would be missing. */
function readSettings(self: WorkerSelf): Settings {
  const read = Settings.safeParse(self.config ?? {})
  if (read.success) return read.data
  const problems = read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')
  throw new AgentError('not_configured', `The settings of toolbox in config.yaml cannot be used: ${problems}`)
}

if (import.meta.main) await worker.run()
