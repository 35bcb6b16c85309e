import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/**
 * What goes wrong: `lose-confirmation` takes the message and closes without a word, `break-before-content` closes at
 * DATA; the others refuse at that point, for now (4xx) or for good (5xx).
 */
export type SmtpFault =
  | 'lose-confirmation'
  | 'hang-after-content'
  | 'break-before-content'
  | 'refuse-recipient'
  | 'refuse-content'
  | 'defer-content'

export interface ReceivedMail {
  from: string
  to: string[]
  /** As it came, dots unstuffed. */
  raw: string
  /** Names in small letters, folded lines joined. */
  headers: Map<string, string>
  body: string
}

export interface SmtpOptions {
  /** Refuses to take mail before this login. */
  login?: { user: string; password: string }
}

/** A strict stand-in for a mail server, on 127.0.0.1: it refuses what a real one may refuse. */
export class SmtpSimulator {
  /** For `SMTP_URL`, with the login where there is one. */
  readonly url: string
  /** Messages that were taken, confirmed or not. */
  readonly received: ReceivedMail[] = []
  /** What clients did wrong. */
  readonly violations: string[] = []
  connections = 0
  readonly login: { user: string; password: string } | undefined
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  private faults: SmtpFault[] = []

  private constructor(server: Server, options: SmtpOptions) {
    this.server = server
    this.login = options.login
    const login = options.login
      ? `${encodeURIComponent(options.login.user)}:${encodeURIComponent(options.login.password)}@`
      : ''
    this.url = `smtp://${login}127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on('connection', (socket: Socket) => {
      this.connections += 1
      this.sockets.add(socket)
      socket.on('close', () => this.sockets.delete(socket))
      socket.on('error', () => socket.destroy())
      new Session(this, socket).greet()
    })
  }

  static start(options: SmtpOptions = {}): Promise<SmtpSimulator> {
    const server = createServer()
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', () => resolve(new SmtpSimulator(server, options)))
    })
  }

  /** One fault for each message that comes, in order; afterwards all is well. */
  play(...faults: SmtpFault[]): void {
    this.faults = faults
  }

  nextFault(): SmtpFault | undefined {
    return this.faults.shift()
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await new Promise<void>((resolve) => this.server.close(() => resolve()))
  }
}

export const startSmtpSimulator = (options?: SmtpOptions): Promise<SmtpSimulator> => SmtpSimulator.start(options)

const MAX_MESSAGE = 10_000_000
const MAX_LINE = 1_000

/** One connection: commands in the order that RFC 5321 wants, lines that end with CR LF. */
class Session {
  private readonly simulator: SmtpSimulator
  private readonly socket: Socket
  private buffer = ''
  private content: string[] | undefined
  private greeted = false
  private loggedIn: boolean
  private from: string | undefined
  private to: string[] = []
  private fault: SmtpFault | undefined

  constructor(simulator: SmtpSimulator, socket: Socket) {
    this.simulator = simulator
    this.socket = socket
    this.loggedIn = simulator.login === undefined
    socket.setEncoding('latin1')
    socket.on('data', (data) => this.read(String(data)))
  }

  greet(): void {
    this.say('220 simulator.test ESMTP')
  }

  private read(data: string): void {
    this.buffer += data
    for (;;) {
      const end = this.buffer.indexOf('\n')
      if (end < 0 || this.socket.destroyed) return
      const line = this.buffer.slice(0, end + 1)
      this.buffer = this.buffer.slice(end + 1)
      if (!line.endsWith('\r\n') || line.slice(0, -2).includes('\r')) return this.violation('a line without CR LF')
      if (line.length > MAX_LINE) return this.violation('a line over 1,000 bytes')
      if (this.content) this.contentLine(this.content, line.slice(0, -2))
      else this.command(line.slice(0, -2))
    }
  }

  private command(line: string): void {
    const [verb = '', ...rest] = line.split(' ')
    const argument = rest.join(' ')
    switch (verb.toUpperCase()) {
      case 'EHLO':
        if (argument === '') return this.violation('EHLO without a name')
        this.greeted = true
        this.reset()
        return this.say('250-simulator.test', `250-SIZE ${MAX_MESSAGE}`, '250-8BITMIME', '250 AUTH PLAIN')
      case 'AUTH':
        return this.auth(argument)
      case 'MAIL':
        return this.mail(argument)
      case 'RCPT':
        return this.recipient(argument)
      case 'DATA':
        return this.data()
      case 'RSET':
        this.reset()
        return this.say('250 2.0.0 reset')
      case 'NOOP':
        return this.say('250 2.0.0 ok')
      case 'QUIT':
        this.say('221 2.0.0 bye')
        return void this.socket.end()
      default:
        return this.violation(`an unknown command: ${verb}`)
    }
  }

  private auth(argument: string): void {
    const { login } = this.simulator
    const given = Buffer.from(/^PLAIN (\S+)$/i.exec(argument)?.[1] ?? '', 'base64').toString()
    this.loggedIn = !login || given === `\0${login.user}\0${login.password}`
    this.say(this.loggedIn ? '235 2.7.0 welcome' : '535 5.7.8 wrong user or password')
  }

  private mail(argument: string): void {
    if (!this.greeted) return this.violation('MAIL before EHLO')
    if (!this.loggedIn) return this.say('530 5.7.0 log in first')
    if (this.from !== undefined) return this.violation('MAIL within a message')
    const [, from, size] = /^FROM:<([^<>\s]*)>(?:.*\bSIZE=(\d+))?/i.exec(argument) ?? []
    if (from === undefined) return this.violation(`MAIL ${argument}`)
    if (Number(size) > MAX_MESSAGE) return this.say('552 5.3.4 too large')
    this.from = from
    this.fault = this.simulator.nextFault()
    this.say('250 2.1.0 ok')
  }

  private recipient(argument: string): void {
    const [, to] = /^TO:<([^<>\s@]+@[^<>\s@]+)>/i.exec(argument) ?? []
    if (this.from === undefined || to === undefined) return this.violation(`RCPT ${argument}`)
    if (this.fault === 'refuse-recipient') return this.say('550 5.1.1 nobody here has this name')
    this.to.push(to)
    this.say('250 2.1.5 ok')
  }

  private data(): void {
    if (this.to.length === 0) return this.say('554 5.5.1 no recipient was accepted')
    if (this.fault === 'break-before-content') return void this.socket.destroy()
    this.content = []
    this.say('354 go ahead')
  }

  private contentLine(lines: string[], line: string): void {
    if (line !== '.') {
      lines.push(line.startsWith('.') ? line.slice(1) : line)
      return
    }
    this.content = undefined
    if (this.fault === 'refuse-content') this.say('554 5.7.1 this is not taken')
    else if (this.fault === 'defer-content') this.say('451 4.7.1 try again later')
    else this.take(lines.join('\r\n'))
    this.reset()
  }

  private take(raw: string): void {
    const end = raw.indexOf('\r\n\r\n')
    const head = raw.slice(0, end).replaceAll(/\r\n[ \t]+/g, ' ')
    const headers = new Map(
      head.split('\r\n').map((line): [string, string] => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
      }),
    )
    for (const name of ['from', 'date', 'message-id']) {
      if (!headers.has(name)) this.simulator.violations.push(`a message without ${name}`)
    }
    this.simulator.received.push({ from: this.from!, to: this.to, raw, headers, body: raw.slice(end + 4) })
    if (this.fault === 'lose-confirmation') this.socket.destroy()
    else if (this.fault !== 'hang-after-content') this.say('250 2.0.0 taken')
  }

  private reset(): void {
    this.from = undefined
    this.to = []
  }

  private violation(what: string): void {
    this.simulator.violations.push(what)
    this.say('503 5.5.1 not like this')
    this.socket.end()
  }

  private say(...lines: string[]): void {
    if (this.socket.writable) this.socket.write(lines.map((line) => `${line}\r\n`).join(''))
  }
}
