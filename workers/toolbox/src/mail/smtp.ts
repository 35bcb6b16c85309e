import { Readable } from 'node:stream'
import { AgentError } from '@agentos/sdk'
import { bareAddress, type Letter, recipientsOf } from './message.ts'

export interface SmtpSettings {
  url: string
  from: string
}

export interface Delivery {
  accepted: string[]
  rejected: string[]
}

/** The server may have taken the message: the connection was lost between its last byte and the confirmation. */
export class Unconfirmed extends Error {}

const CONNECT_MS = 15_000
const SOCKET_MS = 60_000

/**
 * Delivers a letter. `beforeContent` runs when the server has accepted sender and recipients and waits for the message;
 * where it throws, nothing of the message leaves. Up to then the signal ends the attempt; afterwards only the server does.
 */
export async function deliver(
  settings: SmtpSettings,
  letter: Letter,
  messageId: string,
  signal: AbortSignal,
  beforeContent: () => Promise<void>,
): Promise<Delivery> {
  const { url } = settings
  const [{ default: SMTPConnection }, content] = await Promise.all([
    import('nodemailer/lib/smtp-connection'),
    compose(settings.from, letter, messageId),
  ])
  const server = readServer(url)
  const connection = new SMTPConnection(server.options)
  // An error that comes after the answer is nobody's any more.
  connection.on('error', () => {})
  let begun = false
  let refused: unknown
  const stop = (): void => {
    if (!begun) connection.close()
  }
  signal.addEventListener('abort', stop, { once: true })
  try {
    signal.throwIfAborted()
    await settle<void>((done) => {
      connection.once('error', done)
      connection.connect((error) => done(error ?? null))
    })
    if (server.auth) await settle<void>((done) => connection.login(server.auth!, (error) => done(error ?? null)))
    const message = Readable.from(
      (async function* () {
        try {
          signal.throwIfAborted()
          await beforeContent()
        } catch (error) {
          // The server must not see an end of the message: without it, it keeps nothing.
          refused = error
          connection.close()
          throw error
        }
        begun = true
        yield content
      })(),
      { objectMode: false },
    )
    const envelope = { from: bareAddress(settings.from), to: recipientsOf(letter), size: content.length }
    const info = await settle<{ accepted: string[]; rejected: string[] }>((done) => {
      connection.once('error', done)
      connection.once('end', () => done(new Error('the connection was closed')))
      connection.send(envelope, message, (error, result) =>
        done(error ?? null, result as unknown as { accepted: string[]; rejected: string[] }),
      )
    })
    return { accepted: info.accepted, rejected: info.rejected }
  } catch (error) {
    if (refused) throw refused
    if (signal.aborted && !begun) throw new AgentError('cancelled', 'The mail was not sent: the call was cancelled')
    throw explain(error, begun)
  } finally {
    signal.removeEventListener('abort', stop)
    if (!begun) connection.close()
    else connection.quit()
  }
}

/** Throws `not_configured` where the address of the server cannot be read. */
export function assertServer({ url }: SmtpSettings): void {
  readServer(url)
}

async function compose(from: string, letter: Letter, messageId: string): Promise<Buffer> {
  const { default: MailComposer } = await import('nodemailer/lib/mail-composer')
  const { bcc: _hidden, ...shown } = letter
  return new MailComposer({ ...shown, from, messageId, disableFileAccess: true, disableUrlAccess: true })
    .compile()
    .build()
}

interface Server {
  options: Record<string, unknown>
  auth: { user: string; pass: string } | undefined
}

function readServer(text: string): Server {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (!url || !/^smtps?:$/.test(url.protocol) || url.hostname === '') {
    throw new AgentError('not_configured', 'SMTP_URL has to be of the form smtp://user:password@host:587, or smtps://…')
  }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const secure = url.protocol === 'smtps:'
  const local = host === 'localhost' || host === '::1' || host.startsWith('127.')
  return {
    options: {
      host,
      port: Number(url.port) || (secure ? 465 : 587),
      secure,
      // A password or a letter does not go over a network in the clear.
      requireTLS: !secure && !local,
      ignoreTLS: !secure && local,
      connectionTimeout: CONNECT_MS,
      greetingTimeout: CONNECT_MS,
      socketTimeout: SOCKET_MS,
    },
    auth:
      url.username === ''
        ? undefined
        : { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) },
  }
}

/** What the server answered decides; what it left open after the message had begun is not known. */
function explain(error: unknown, begun: boolean): unknown {
  if (error instanceof AgentError) return error
  const { code, responseCode, response, message } = error as Error & {
    code?: string
    responseCode?: number
    response?: string
  }
  const details = { code, status: responseCode, answer: response?.slice(0, 500) }
  if (responseCode === undefined || responseCode === 0) {
    if (begun) return new Unconfirmed(message)
    return new AgentError('upstream_error', `The mail server could not be reached: ${message}`, {
      details,
      cause: error,
    })
  }
  if (code === 'EAUTH') {
    return new AgentError('upstream_auth', 'The mail server did not accept the user and password of SMTP_URL', {
      details,
    })
  }
  const later = responseCode >= 400 && responseCode < 500
  const what = `The mail server refused the message: ${response?.slice(0, 300)}`
  return new AgentError(later ? 'upstream_error' : 'upstream_rejected', what, { details })
}

function settle<T>(run: (done: (error: Error | null, value?: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    run((error, value) => (error ? reject(error) : resolve(value as T)))
  })
}
