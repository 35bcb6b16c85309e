import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SupervisedState, ToEngine, ToSupervisor, WorkerDescriptor } from '@agentos/protocol'
import type { Logger } from 'pino'
import type { Api } from '../api.ts'
import { addressOf } from '../config.ts'
import { assertEngineTakes } from '../config-check.ts'
import { Refusal } from '../refusal.ts'
import { engineSpec, instancesOf, type LaunchContext, memoryCapMb, workerSpec } from './launch.ts'
import { lastWords, ManagedProcess, messageOf, type ProcessEvent, type ProcessSpec } from './managed-process.ts'
import { writePids } from './orphans.ts'
import { residentMb } from './process-table.ts'
import { SilenceWatch } from './silence-watch.ts'
import { StartTurns } from './start-turns.ts'
import { type ProcessStatus, writeStatus } from './status-file.ts'
import { DRAIN_MS, SupervisedWorker } from './supervised-worker.ts'
import type { View } from './view.ts'

const ENGINE_START_MS = 30_000
/** How long the start waits for what crashed and is started again. */
const HEALING_MS = 10_000
const MEMORY_CHECK_MS = 5000
const SILENT_MS = 30_000
/** A process that has not connected by then is shown as such. */
const SLOW_START_MS = 10_000
/** While sources change nobody waits for calls in flight. */
const DEVELOPMENT_GRACE_MS = 250

export interface SupervisorOptions {
  context: LaunchContext
  /** The same, read again from `.env` and config.yaml. Throws where they cannot be used. */
  reload(): LaunchContext
  api: Api
  log: Logger
  view: View
}

/** Starts the engine and the workers, restarts what ends, holds what keeps ending, and stops all of it in order. */
export class Supervisor {
  private readonly options: SupervisorOptions
  private readonly workers = new Map<string, SupervisedWorker>()
  /** What is wrong with the sources of those that do not build, and since when. */
  private readonly unbuilt = new Map<string, { text: string; since: number }>()
  private readonly turns = new StartTurns(Math.min(4, Math.max(2, availableParallelism())))
  private readonly silence: SilenceWatch
  private engine!: ManagedProcess
  /** What the engine that is up gives workers; they have it from their start on. */
  private settings: Record<string, string> | undefined
  /** What the engine that is up has to tell its owner. */
  private notice: string | undefined
  private readonly startedAt = Date.now()
  private stopping = false
  /** The start is over: from now on events are told one by one. */
  private settled = false
  private memoryTimer: NodeJS.Timeout | undefined
  private beatTimer: NodeJS.Timeout | undefined

  constructor(options: SupervisorOptions) {
    this.options = options
    this.silence = new SilenceWatch(options.context.settings.silentMs ?? SILENT_MS)
  }

  async start(descriptors: WorkerDescriptor[]): Promise<void> {
    const { context, view } = this.options
    for (const descriptor of descriptors) this.add(descriptor)
    this.engine = new ManagedProcess(this.engineSpec(context), (event) => this.onEvent(this.engine, event))
    view.progress('Starting the engine')
    this.engine.start()
    // What came while this process stood still is read before anybody is judged.
    this.beatTimer = setInterval(() => setImmediate(() => this.beat()), this.silence.beatMs)
    await this.engineAnswers()
    view.done('engine started')
    await this.startWorkers()
    if (this.stopping) return
    await this.becomesReady()
    // Told to stop meanwhile: a timer that begins now would never end.
    if (this.stopping) return
    this.memoryTimer = setInterval(() => this.checkMemory(), MEMORY_CHECK_MS)
    this.settled = true
    this.publish()
  }

  statuses(): ProcessStatus[] {
    const workers = [...this.workers.values()].flatMap((worker) =>
      worker.processes.map((process) => ({
        ...statusOf(process, worker.stateOf(process)),
        ...this.silenceOf(process),
        ...this.problemOf(worker.name),
      })),
    )
    const missing = this.missing().map(([name, { text, since }]) => ({
      name,
      state: 'unbuilt' as const,
      restarts: 0,
      since,
      reason: firstLine(text),
      ...this.problemOf(name),
    }))
    return [...(this.engine ? [this.engineStatus(this.engine)] : []), ...workers, ...missing]
  }

  private engineStatus(engine: ManagedProcess): ProcessStatus {
    if (engine.silentSince === undefined) return statusOf(engine, engine.state)
    return { ...statusOf(engine, 'silent'), ...this.silenceOf(engine) }
  }

  private silenceOf({ state, since, silentSince }: ManagedProcess): { since?: number; reason?: string } {
    const isSlow = state === 'starting' && Date.now() - since > SLOW_START_MS
    if (isSlow && silentSince === undefined)
      return { reason: 'has not connected to the engine yet; its log may say why' }
    if (silentSince === undefined) return {}
    return { since: silentSince, reason: `answers no heartbeat; ended after ${this.silence.limitMs / 1000} s of it` }
  }

  /** The sources of a worker do not build, or, without a text, build again. What runs of it goes on. */
  markUnbuilt(name: string, text: string | undefined): void {
    if (text === undefined) this.unbuilt.delete(name)
    else this.unbuilt.set(name, { text, since: Date.now() })
    if (this.settled) this.publish()
  }

  private problemOf(worker: string): { problem?: string } {
    const unbuilt = this.unbuilt.get(worker)
    if (!unbuilt) return {}
    const running = this.workers.has(worker) ? 'does not build; what was built before runs' : 'does not build'
    return { problem: `${running}:\n${unbuilt.text}` }
  }

  /** Those that do not build and of which nothing else can run. */
  private missing() {
    return [...this.unbuilt].filter(([name]) => !this.workers.has(name))
  }

  /** Takes a worker in that was not there at the start. The engine reads what is installed when it starts. */
  async addWorker(descriptor: WorkerDescriptor): Promise<void> {
    const worker = this.add(descriptor)
    await this.restartEngine()
    if (!this.stopping && worker.expected) void worker.wake()
  }

  async removeWorker(name: string): Promise<void> {
    const worker = this.workers.get(name)
    if (!worker) return
    this.workers.delete(name)
    await worker.end(1000)
    worker.close()
    this.publish()
  }

  /** Its source changed. What is asleep has read none of it. */
  async restartWorker(name: string): Promise<void> {
    const worker = this.workers.get(name)
    if (!this.stopping && worker?.wanted) await worker.restart(DEVELOPMENT_GRACE_MS)
  }

  async restartEngine(): Promise<void> {
    if (!this.stopping) await this.engine.restart(DEVELOPMENT_GRACE_MS)
  }

  names(): string[] {
    return [...this.workers.keys()]
  }

  /** The engine first: it takes no new work and lets calls in flight end. Then the workers. Resolves when all are gone. */
  async stop(): Promise<void> {
    this.stopping = true
    clearInterval(this.memoryTimer)
    clearInterval(this.beatTimer)
    this.publish()
    this.options.view.progress('Stopping: waiting for calls in flight (Ctrl-C again stops at once)')
    await this.engine?.stop(DRAIN_MS + 1000)
    await Promise.all([...this.workers.values()].map((worker) => worker.end(3000)))
    this.publish()
  }

  /** No more waiting. */
  kill(): void {
    this.stopping = true
    for (const process of this.processes()) process.signal('SIGKILL')
  }

  private add(descriptor: WorkerDescriptor): SupervisedWorker {
    const { context } = this.options
    const count = instancesOf(context.settings, descriptor)
    const specs = Array.from({ length: count }, (_, index) => workerSpec(context, descriptor, index + 1))
    const worker = new SupervisedWorker(descriptor, specs, this.turns, (process, event) => this.onEvent(process, event))
    this.workers.set(descriptor.name, worker)
    return worker
  }

  private processes(): ManagedProcess[] {
    return [this.engine, ...[...this.workers.values()].flatMap(({ processes }) => processes)].filter(Boolean)
  }

  private expected(): SupervisedWorker[] {
    return [...this.workers.values()].filter((worker) => worker.expected)
  }

  private async engineAnswers(): Promise<void> {
    const deadline = Date.now() + ENGINE_START_MS
    while (!this.stopping) {
      if (this.engine.state === 'restarting' || this.engine.state === 'held')
        throw this.engineFailed('It ended at once.')
      const answer = await this.options.api.probe('/health').catch(() => undefined)
      if (answer && answer.status < 500) break
      if (Date.now() > deadline) throw this.engineFailed(`It did not answer within ${ENGINE_START_MS / 1000} s.`)
      await sleep(25)
    }
    this.engine.markUp()
  }

  private engineFailed(what: string): Refusal {
    const said = this.engine.lastLines.map(messageOf).filter((line) => line !== '')
    const why = lastWords(said.slice(-8)).map((line) => `  ${line}`)
    return new Refusal(
      'engine_failed',
      'The engine does not start',
      [what, ...(why.length > 0 ? ['It said last:', ...why] : [])].join('\n'),
      [`Its whole log: ${this.engine.spec.logPath}`],
    )
  }

  private async startWorkers(): Promise<void> {
    const { view } = this.options
    const began = performance.now()
    const workers = this.expected()
    const total = workers.length
    const progress = () =>
      view.progress(`Starting workers ${this.upCount()}/${total}  ${this.startingNames().join(', ')}`)
    progress()
    await Promise.all(workers.map((worker) => worker.wake().then(progress)))
    // A crash that the first restart heals is not worth an alarm.
    const deadline = Date.now() + HEALING_MS
    while (this.startingNames().length > 0 && Date.now() < deadline && !this.stopping) await sleep(25)
    if (this.stopping) return
    const seconds = ((performance.now() - began) / 1000).toFixed(1)
    const text = `${this.upCount()} of ${total} ${total === 1 ? 'worker' : 'workers'} started in ${seconds} s`
    if (this.upCount() === total) view.done(text)
    else view.warn(text)
  }

  /** With everybody up the engine says so soon; a worker that is missing is named in the summary instead. */
  private async becomesReady(): Promise<void> {
    const deadline = Date.now() + 5000
    while (!this.stopping && this.upCount() === this.expected().length && Date.now() < deadline) {
      const answer = await this.options.api.probe('/v1/engine/ready').catch(() => undefined)
      if (answer?.status === 200) return
      await sleep(25)
    }
  }

  private startingNames(): string[] {
    return this.processes()
      .filter(isOnItsWay)
      .map((process) => process.spec.name)
  }

  private upCount(): number {
    return this.expected().filter((worker) => worker.isUp).length
  }

  /** What the engine says. */
  private hear(message: ToSupervisor): void {
    if (this.stopping) return
    const wasSilent = this.engine.silentSince !== undefined
    this.silence.engineHeard()
    if (wasSilent) this.publish()
    switch (message.type) {
      case 'pong':
        return
      case 'up':
        if (this.settled && this.engine.state === 'starting') this.options.view.event('done', 'engine is up')
        this.engine.markUp()
        this.notice = message.notice
        if (this.notice !== undefined) this.options.view.warn(this.notice)
        for (const process of this.connecting()) this.silence.expect(process)
        void this.renewChanged(message.settings)
        return this.publish()
      case 'connected':
        return this.recognise(message.pid)
      case 'silent':
        return this.misses(message.pid, message.silentMs)
      case 'heard':
      case 'gone':
        return this.expects(message.pid)
      case 'needed':
        return this.order(message.worker, 'wake')
      case 'idle':
        return this.order(message.worker, 'sleep')
      case 'restart':
        return void this.renew(message.worker)
      case 'kill':
        return this.workers.get(message.worker)?.kill()
      case 'problem':
        this.options.log.warn({ worker: message.worker }, message.text)
        return this.options.view.event('warn', `${message.worker}: ${message.text}`)
    }
  }

  /** The engine has not heard a process for so many milliseconds. */
  private misses(pid: number, silentMs: number): void {
    const process = this.connecting().find((each) => each.pid === pid)
    if (!process) return
    this.silence.silent(process, silentMs)
    this.options.view.event('warn', `${process.spec.name} answers no heartbeat and gets no calls`)
    this.publish()
  }

  /** A process has lost its connection, or is heard after it did: it connects anew. */
  private expects(pid: number): void {
    const process = this.connecting().find((each) => each.pid === pid)
    if (!process) return
    const wasSilent = process.silentSince !== undefined
    this.silence.expect(process)
    if (wasSilent) this.publish()
  }

  /** Those that have a connection to an engine that listens, or are about to. */
  private connecting(): ManagedProcess[] {
    return [...this.workers.values()].flatMap(({ processes }) => processes.filter(({ isRunning }) => isRunning))
  }

  private beat(): void {
    if (this.stopping || !this.silence.beat(() => this.engine.send({ type: 'ping' } satisfies ToEngine))) return
    this.options.view.event('warn', 'engine answers no heartbeat')
    this.publish()
  }

  private order(name: string, what: 'wake' | 'sleep'): void {
    const worker = this.workers.get(name)
    if (!worker) return
    this.options.log.info({ worker: name, order: what }, `${name}: ${what}`)
    void worker[what]().then(() => this.publish())
  }

  /**
   * At its owner's wish: a worker, or the engine, with `.env` and config.yaml as they are now. Where these cannot be used
   * it runs on and a line says why.
   */
  async renew(name: string): Promise<void> {
    const { log, view, reload } = this.options
    log.info({ worker: name, order: 'restart' }, `${name}: restart`)
    try {
      const context = reload()
      const worker = this.workers.get(name)
      if (worker) await worker.restart(DRAIN_MS, this.workerSpecs(worker, context))
      else if (name === 'engine') await this.renewEngine(context)
      this.publish()
    } catch (error) {
      log.error({ worker: name, err: error }, `${name} is not restarted`)
      view.event('fail', `${name} is not restarted: ${(error as Error).message}`)
    }
  }

  /** Workers that run keep the settings of their start: those that changed with the engine's are started anew in turn. */
  private async renewChanged(settings: Record<string, string>): Promise<void> {
    const before = this.settings
    this.settings = settings
    if (before === undefined) return
    for (const worker of [...this.workers.values()]) {
      if (!worker.wanted || this.stopping || before[worker.name] === settings[worker.name]) continue
      this.options.view.event('done', `${worker.name} is started anew: its settings in config.yaml changed`)
      await this.renew(worker.name)
    }
  }

  private async renewEngine(context: LaunchContext): Promise<void> {
    const spec = this.engineSpec(context)
    await assertEngineTakes(context.paths, spec.env)
    if (!this.stopping) await this.engine?.restart(DRAIN_MS + 1000, spec)
  }

  private workerSpecs({ descriptor, processes }: SupervisedWorker, context: LaunchContext): ProcessSpec[] {
    return processes.map((_, index) => workerSpec(context, descriptor, index + 1))
  }

  private engineSpec(context: LaunchContext): ProcessSpec {
    return engineSpec(context, (message) => this.hear(message as ToSupervisor))
  }

  private onEvent(process: ManagedProcess, event: ProcessEvent): void {
    const { log, view } = this.options
    const { name } = process.spec
    log[event.kind === 'spawned' ? 'info' : 'warn'](
      { worker: name, pid: process.pid, ...event },
      `${name} ${event.kind}`,
    )
    if (event.kind === 'spawned' && process !== this.engine && this.engine.state === 'up') this.silence.expect(process)
    if (event.kind === 'spawned' && process === this.engine) {
      this.silence.begin(process)
      // Before anything else: by the time that it writes something it knows what to blank.
      const { fingerprints } = this.options.context.secrets
      process.send({ type: 'secrets', fingerprints } satisfies ToEngine)
    }
    if (event.kind === 'crashed' && this.settled) {
      view.event('warn', `${name} ended (${event.reason}); starting it again in ${(event.delayMs ?? 0) / 1000} s`)
    }
    if (event.kind === 'held') {
      const held = `${name} is held after ${event.ends} ends within a minute (${event.reason})`
      const again =
        event.delayMs === undefined
          ? `. To start it again: npm run agentos -- restart ${name.replace(/\..*/, '')}`
          : `; it is tried again in ${event.delayMs / 1000} s, or at once by npm run agentos -- restart ${name}`
      view.event('fail', `${held}${again}. Its log: npm run agentos -- logs ${name}`)
    }
    this.publish()
  }

  /** A process has connected, one of ours or one that somebody started by hand. */
  private recognise(pid: number): void {
    for (const worker of this.workers.values()) {
      const process = worker.processes.find((each) => each.pid === pid)
      if (process) this.silence.heard(process)
      if (process?.state !== 'starting') continue
      process.markUp()
      // To be woken and to fall asleep is everyday life of a worker on demand.
      if (this.settled && (worker.expected || process.restarts > 0)) {
        this.options.view.event('done', `${process.spec.name} is up`)
      }
      this.publish()
    }
  }

  private checkMemory(): void {
    // tsx and its caches come on top in development; caps are for what is built.
    if (!this.options.context.dev) {
      for (const worker of this.workers.values()) worker.enforce(memoryCapMb(worker.descriptor))
    }
    this.publish()
  }

  /** Brings what others read up to date: who runs, and how to find them again after a kill. */
  private publish(): void {
    const { context, api } = this.options
    const { data } = context.paths
    const running = this.processes().filter((process) => process.pid !== undefined)
    const states: Record<string, SupervisedState> = {}
    for (const worker of this.workers.values()) states[worker.name] = worker.state
    for (const [name] of this.missing()) states[name] = 'unbuilt'
    this.engine?.send({ type: 'workers', states } satisfies ToEngine)
    try {
      writePids(
        data,
        running.map((process) => ({
          name: process.spec.name,
          pid: process.pid as number,
          script: process.spec.script,
          ...(process.began === undefined ? {} : { started: process.began }),
        })),
      )
      writeStatus(data, {
        pid: process.pid,
        address: `${api.base}/`,
        workerAddress: addressOf(context.settings.manager),
        startedAt: this.startedAt,
        dev: context.dev,
        stopping: this.stopping,
        processes: this.statuses(),
        ...(this.notice === undefined ? {} : { notice: this.notice }),
      })
    } catch (error) {
      this.options.log.warn({ err: error, folder: join(data) }, 'the state of the processes cannot be written')
    }
  }
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? ''

const isOnItsWay = ({ state }: ManagedProcess): boolean => state === 'starting' || state === 'restarting'

function statusOf(process: ManagedProcess, state: ProcessStatus['state']): ProcessStatus {
  const memoryMb = process.pid === undefined ? undefined : residentMb(process.pid)
  return {
    name: process.spec.name,
    state,
    restarts: process.restarts,
    since: process.since,
    ...(process.pid === undefined ? {} : { pid: process.pid }),
    ...(process.reason === undefined ? {} : { reason: process.reason }),
    ...(process.retryAt === undefined ? {} : { retryAt: process.retryAt }),
    ...(memoryMb === undefined ? {} : { memoryMb: Math.round(memoryMb) }),
  }
}
