import * as toolbox from '@agentos/contracts/toolbox'
import { defineWorker, serve } from '@agentos/sdk'
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
  settings: Settings,
  start: async ({ config: settings }) => {
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

if (import.meta.main) await worker.run()
