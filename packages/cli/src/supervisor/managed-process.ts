import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { KnownSecrets } from '@agentos/protocol'
import { RestartPolicy } from './backoff.ts'
import { LineSplitter, LogFile, toCutLine, toLogLine } from './log-file.ts'
import { signal, signalGroup } from './orphans.ts'
import { startOf } from './process-table.ts'

export type ProcessState = 'starting' | 'up' | 'restarting' | 'held' | 'stopped'

/** How to run one process of ours. */
export interface ProcessSpec {
  name: string
  script: string
  /** Flags of Node, before the script. */
  nodeArgs: string[]
  env: Record<string, string>
  cwd: string
  logPath: string
  /** Takes what the process says over Node's channel; without this it gets no channel. */
  onMessage?: (message: unknown) => void
  /** Blanked in all that it writes: what a runtime says of a crash passes by the log of the process. */
  secrets?: KnownSecrets
  /** Once held it is tried again after this time, in milliseconds; without this it waits for its owner. */
  retryHeldMs?: number
}

export interface ProcessEvent {
  kind: 'spawned' | 'crashed' | 'held'
  /** Why it ended: exit code or signal, and the last thing it said. */
  reason?: string
  delayMs?: number
  /** With `held`: its ends within a minute. */
  ends?: number
}

const RECENT_LINES = 40

/** One child process: its log, its restarts and their reasons. It leads a process group of its own, so that Ctrl-C
 *  reaches only the supervisor, which then stops everything in order. */
export class ManagedProcess {
  spec: ProcessSpec
  state: ProcessState = 'stopped'
  restarts = 0
  reason: string | undefined
  since = Date.now()
  /** Since when the engine does not hear it, in epoch milliseconds, where that is so. */
  silentSince: number | undefined
  private readonly policy = new RestartPolicy()
  private readonly log: LogFile
  private readonly onEvent: (event: ProcessEvent) => void
  private recent: string[] = []
  private child: ChildProcess | undefined
  /** When the present process began, as the operating system tells it. */
  began: string | undefined
  private exited: Promise<void> = Promise.resolve()
  private timer: NodeJS.Timeout | undefined
  /** While it is held: when it is tried again, in epoch milliseconds. */
  retryAt: number | undefined
  private wanted = false
  /** Counts the orders to stop. */
  private order = 0
  /** Why we ended it ourselves, to be reported as the reason of the crash. */
  private verdict: string | undefined
  private changed = Promise.withResolvers<void>()

  constructor(spec: ProcessSpec, onEvent: (event: ProcessEvent) => void) {
    this.spec = spec
    this.onEvent = onEvent
    this.log = new LogFile(spec.logPath)
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  /** It is there, and meant to be. */
  get isRunning(): boolean {
    return this.child !== undefined && this.wanted
  }

  /** What it said last, as text. */
  get lastLines(): readonly string[] {
    return this.recent
  }

  start(): void {
    this.wanted = true
    clearTimeout(this.timer)
    if (!this.child) this.spawn()
  }

  /** Told by whoever sees it answer: connected, or listening. */
  markUp(): void {
    if (this.state === 'starting') this.enter('up')
  }

  /** Resolves when it is up or has failed, at the latest after `limitMs`. */
  async started(limitMs: number): Promise<void> {
    const limit = AbortSignal.timeout(limitMs)
    const expired = new Promise<void>((resolve) => limit.addEventListener('abort', () => resolve(), { once: true }))
    while (this.state === 'starting' && !limit.aborted) await Promise.race([this.changed.promise, expired])
  }

  /** Over the channel; dropped where it does not listen, it is told again when it does. */
  send(message: object): void {
    if (this.child?.connected) this.child.send(message, () => {})
  }

  /**
   * Ends it and starts it again without counting a crash: its source changed, or its owner wants it. `spec` is how it is
   * run from then on; it has the same name and log.
   */
  async restart(graceMs: number, spec: ProcessSpec = this.spec): Promise<void> {
    const order = this.order + 1
    await this.stop(graceMs)
    // Whoever stopped it meanwhile meant it.
    if (this.order !== order) return
    this.spec = spec
    this.policy.reset()
    this.restarts += 1
    this.start()
  }

  /** Ends it although it runs, and lets the restart rules decide: it used too much memory, or answers nobody. */
  condemn(reason: string, graceMs: number): void {
    if (!this.child || this.verdict) return
    this.verdict = reason
    this.signal('SIGTERM')
    const child = this.child
    setTimeout(() => this.child === child && this.signal('SIGKILL'), graceMs).unref()
  }

  /** Asks it to end, and after `graceMs` ends it. Resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.wanted = false
    this.order += 1
    clearTimeout(this.timer)
    const gone = this.exited
    if (this.child) {
      if (graceMs > 0) this.signal('SIGTERM')
      const kill = setTimeout(() => this.signal('SIGKILL'), graceMs)
      await gone
      clearTimeout(kill)
    }
    this.enter('stopped')
  }

  signal(name: NodeJS.Signals): void {
    if (this.child?.pid) signal(this.child.pid, name)
  }

  close(): void {
    this.log.close()
  }

  private spawn(): void {
    const { script, nodeArgs, env, cwd, onMessage } = this.spec
    this.enter('starting')
    this.verdict = undefined
    this.recent = []
    const child = spawn(process.execPath, [...nodeArgs, script], {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', ...(onMessage ? (['ipc'] as const) : [])],
    })
    this.child = child
    if (onMessage) child.on('message', onMessage)
    this.exited = new Promise((resolve) => {
      const end = (code: number | null, by: string | null) => {
        if (this.child !== child) return
        this.child = undefined
        // What it started itself goes with it.
        if (child.pid) signalGroup(child.pid, 'SIGKILL')
        resolve()
        if (this.wanted) this.crashed(this.verdict ?? describeEnd(code, by, this.recent))
      }
      child.once('error', (error) => {
        this.recent.push(error.message)
        end(null, null)
      })
      // `close` comes after the last output, which is where the reason stands.
      // The engine's word that it was up may lie there unread.
      child.once('close', (code, by) => setImmediate(end, code, by))
      // A grandchild that holds the pipes open must not hide that the process is gone.
      child.once('exit', (code, by) => setTimeout(end, 200, code, by))
    })
    if (child.stdout) this.capture(child.stdout, 'stdout')
    if (child.stderr) this.capture(child.stderr, 'stderr')
    if (!child.pid) return
    this.began = startOf(child.pid)
    this.onEvent({ kind: 'spawned' })
  }

  private crashed(reason: string): void {
    this.reason = reason
    const decision = this.policy.crashed(Date.now(), this.state === 'up')
    if (decision.action === 'hold') {
      this.enter('held')
      const { retryHeldMs: delayMs } = this.spec
      const { crashes: ends } = decision
      if (delayMs === undefined) return this.onEvent({ kind: 'held', reason, ends })
      this.retryAt = Date.now() + delayMs
      this.timer = setTimeout(() => this.spawn(), delayMs)
      this.onEvent({ kind: 'held', reason, ends, delayMs })
      return
    }
    this.restarts += 1
    this.enter('restarting')
    this.timer = setTimeout(() => this.spawn(), decision.delayMs)
    this.onEvent({ kind: 'crashed', reason, delayMs: decision.delayMs })
  }

  private capture(from: Readable, stream: 'stdout' | 'stderr'): void {
    const { name, secrets } = this.spec
    const lines = new LineSplitter((written, isCut) => {
      const line = secrets?.line(written) ?? written
      const kept = (isCut ? toCutLine : toLogLine)(name, stream, line, Date.now())
      this.log.write(kept)
      this.recent.push(isCut ? kept.trimEnd() : line)
      if (this.recent.length > RECENT_LINES) this.recent.shift()
    })
    from.setEncoding('utf8')
    from.on('data', (text: string) => lines.push(text))
    from.on('end', () => lines.end())
    from.on('error', () => lines.end())
  }

  private enter(state: ProcessState): void {
    this.state = state
    this.retryAt = undefined
    this.silentSince = undefined
    this.since = Date.now()
    this.changed.resolve()
    this.changed = Promise.withResolvers()
  }
}

/** For example `exit code 1: Error: no such file`. */
export function describeEnd(code: number | null, by: string | null, recent: readonly string[]): string {
  // Somebody ended it: what it said last has nothing to do with that.
  if (by === 'SIGKILL' || by === 'SIGTERM' || by === 'SIGINT') return `ended by ${by}`
  if (recent.some((line) => /heap out of memory/.test(line)))
    return 'out of memory: its heap reached the cap of its manifest'
  const how = by ? `ended by ${by}` : code === null ? 'could not be started' : `exit code ${code}`
  const cause = unreadable(recent) ?? whatItSaid(recent, code !== 0)
  return cause ? `${how}: ${lastWords([cause], 1_000)[0]}` : how
}

/** The end of what was said, whole up to `most` characters: the newest lines first get their room. */
export function lastWords(lines: readonly string[], most = 4_000): string[] {
  let room = most
  const told = lines.toReversed().flatMap((line) => {
    if (room <= 0) return []
    const shown = line.length > room ? `${line.slice(0, room)}… (its log has the rest)` : line
    room -= line.length
    return [shown]
  })
  return told.toReversed()
}

/** Of a source that could not be read: `/x/src/worker.ts:5:10: Unexpected "}"`. */
function unreadable(lines: readonly string[]): string | undefined {
  const [, place, text] = lines.map((line) => /^(\S.*:\d+:\d+): ERROR: (.+)$/.exec(line)).find(Boolean) ?? []
  return place && `${place}: ${text}`
}

/** The last error, or where `failed` the last line, with the line of the source that threw it, where sources run. */
function whatItSaid(lines: readonly string[], failed: boolean): string | undefined {
  const error = lines.findLastIndex((line) => /error|refus|fatal|cannot|denied|invalid/i.test(messageOf(line)))
  const index = error < 0 && failed ? lines.length - 1 : error
  if (index < 0) return undefined
  const stack = lines[index]!.startsWith('{') ? lines[index]! : lines.slice(index + 1).join('\n')
  const places = stack.matchAll(/ at (?:[^\n(]*\()?(?:file:\/\/)?(\/[^\s():"\\]+\.ts:\d+:\d+)/g)
  const place = [...places].map(([, found]) => found!).find((found) => !found.includes('/node_modules/'))
  return `${messageOf(lines[index]!)}${place ? ` (${place})` : ''}`
}

/** The readable part of a log line. */
export function messageOf(line: string): string {
  if (!line.startsWith('{')) return line.trim()
  try {
    const { msg, err } = JSON.parse(line) as { msg?: unknown; err?: { message?: unknown } }
    const parts = [msg, err?.message].filter((part): part is string => typeof part === 'string' && part !== '')
    return parts.length > 0 ? [...new Set(parts)].join(': ') : line
  } catch {
    return line
  }
}
