import { EngineError, type ErrorBody } from '@agentos/protocol'
import type { BuiltinCall, DurableCall, ModuleHost, StepRequest } from '../../core/module.ts'
import type { StoreWrite } from '../../core/ports.ts'
import { DiskWait } from '../disk-wait.ts'
import { inTurn } from '../firing.ts'
import { storedContext } from '../queue/job.ts'
import { guarded } from '../serve.ts'
import { type Attempt, isStepOf } from './attempt.ts'
import { type Entry, isOpen, type NewEntry, type RunHead, type RunInput } from './entry.ts'
import { hashOf, holdsWriter, withoutChannels } from './fingerprint.ts'
import { Follower } from './follower.ts'
import { uuidv7 } from './ids.ts'
import { Journal } from './journal.ts'
import { FINISHED, finishedKey, keyPartition, listKey, listPartition, OPEN, runPartition } from './partitions.ts'
import { Reopening } from './reopening.ts'
import { type Recording, ReplayCheck } from './replay.ts'
import { Run, type RunOwner } from './run.ts'

const PAGE = 500
/**
 * Where runs are open they wait so long after a start, and new ones with them: the clients of the engine before this one
 * come back within that time, and what a chat may use are the functions that are there when it looks.
 */
const CLIENTS_BACK_MS = 1_000
/** Calls that may wait while the open runs are read after a start. */
const MAX_EARLY = 10_000
/** Readers that are told what a run that they joined came to; further ones only hear its end. */
const MAX_FOLLOWERS = 500
/** How long an idempotency key stands after the end of its run. */
const KEY_KEPT_MS = 24 * 3_600_000

type RunKey = NonNullable<RunHead['key']>

/** Hears of every entry of a run once it is durable. */
export type EntryListener = (n: number, entry: Entry) => void

export interface RunCounts {
  open: { status: string; reason: string }[]
  ended: ReadonlyMap<string, number>
}

/** All open runs. After a start they are read from the store, and each goes on, before a call is taken. */
export class Runs implements RunOwner {
  readonly host: ModuleHost
  readonly startedAt: number
  private readonly open = new Map<string, Run>()
  private readonly endings = new Map<string, number>()
  private readonly attempts = new Map<string, Attempt>()
  private readonly followers = new Map<string, Follower>()
  private readonly listeners = new Map<string, Set<EntryListener>>()
  private readonly reopening = new Reopening(this)
  private early: { call: BuiltinCall; run: () => void }[] | undefined = []
  private readonly disk: DiskWait
  stopped = false

  constructor(host: ModuleHost) {
    this.host = host
    this.startedAt = host.ports.clock.monotonic()
    this.disk = new DiskWait(host.ports, 'The runs cannot be read and wait')
  }

  // What the core hands over

  /** The call of a durable function: a new run, or the one that its idempotency key stands for. */
  take(call: DurableCall): void {
    this.whenLoaded(call, () => this.takeNow(call))
  }

  private takeNow(call: DurableCall): void {
    const key = keyOf(call)
    const head = key && this.begunUnder(key, call.context.realm)
    if (!head) return this.begin(call, key)
    const answer = (): void => this.attach(this.follow(call, head), head)
    if (head.status === 'failed' && !this.open.has(head.id)) this.reopening.enter(call, head, answer)
    else answer()
  }

  /** State of the run that was begun under a key. Throws `key_reused`. */
  private begunUnder({ record, hash }: RunKey, realm: string): RunHead | undefined {
    const first = this.host.ports.store.latest(keyPartition(realm), record)?.value as
      | { run: string; hash: string }
      | undefined
    const head = first && (this.open.get(first.run)?.head ?? this.head(realm, first.run))
    if (!first || !head || first.hash === hash) return head
    throw new EngineError('key_reused', 'The idempotency key was used with another input; take a new one', {
      details: { runId: first.run },
    })
  }

  /** A reader with a stream is told first what the run came to, as the handler tells it. */
  private follow(call: DurableCall, head: RunHead): BuiltinCall {
    if (!holdsWriter(call.input) || isStepOf(call) || this.followers.size >= MAX_FOLLOWERS) return call
    const follower = new Follower(this, head, (invocation) => this.followers.delete(invocation))
    const invocation = follower.start(call)
    if (invocation === undefined) return call
    this.followers.set(invocation, follower)
    return follower.after(call)
  }

  /** Answers a call with the end of a run, now or when it comes. */
  private attach(call: BuiltinCall, head: RunHead): void {
    const run = this.open.get(head.id)
    if (run) return run.join(call)
    this.outcome(head, (end, error) => {
      if (error) call.fail(error.code, error.message, error.details)
      else if (!end) call.fail('corrupt_record', `The end of run ${head.id} is not in its journal`)
      else if (end.error) call.fail(end.error.code, end.error.message, end.error.details)
      else call.reply(end.result)
    })
  }

  /** A step that a process asks for. */
  step(request: StepRequest): ((reason: string) => void) | undefined {
    const invocation = request.context.parent ?? ''
    const follower = this.followers.get(invocation)
    if (follower) return follower.ask(request)
    const attempt = this.attempts.get(invocation)
    if (attempt) return attempt.run.steps.ask(attempt, request)
    const message = 'A step belongs to a run: the invocation that it names is no attempt of one, or is over'
    request.onResult({ ok: false, error: { code: 'conflict', message } })
    return undefined
  }

  // What a run tells

  handedOver(invocation: string, attempt: Attempt): void {
    this.attempts.set(invocation, attempt)
  }

  returned(invocation: string): void {
    this.attempts.delete(invocation)
  }

  entry(run: Run, n: number, entry: Entry): void {
    for (const listener of [...(this.listeners.get(run.id) ?? [])]) listener(n, entry)
  }

  /** Of all realms; endings since the start. */
  counts(): RunCounts {
    const open = [...this.open.values()].map(({ head: { status, reason = '' } }) => ({ status, reason }))
    return { open, ended: this.endings }
  }

  ended(run: Run): void {
    this.open.delete(run.id)
    const { head } = run
    this.endings.set(head.status, (this.endings.get(head.status) ?? 0) + 1)
    if (head.status === 'cancelled') this.cancelChildren(run.id)
    this.shelve(head, run.neverBegan)
  }

  shelve(head: RunHead, neverBegan = false): void {
    const { id, realm, key, finishedAt = 0 } = head
    this.put(finishedRecord(head))
    this.put({ op: 'delete', partition: OPEN, key: id })
    if (!key) return
    const record = { partition: keyPartition(realm), key: key.record }
    if (neverBegan) this.put({ op: 'delete', ...record })
    else this.put({ op: 'put', ...record, value: { run: id, hash: key.hash }, expires: finishedAt + KEY_KEPT_MS })
  }

  opened(run: Run): void {
    this.open.set(run.id, run)
    run.takeUp()
  }

  // Finding

  get(id: string): Run | undefined {
    return this.open.get(id)
  }

  /** State of a run of this realm, open or over. */
  head(realm: string, id: string): RunHead | undefined {
    const run = this.open.get(id)
    if (run) return run.head.realm === realm ? run.head : undefined
    return this.host.ports.store.get(runPartition(realm, id), 'head')?.value as RunHead | undefined
  }

  /** How a run that is over ended. */
  outcome(head: RunHead, done: (end: (Entry & { kind: 'finished' }) | undefined, error?: ErrorBody) => void): void {
    let end: (Entry & { kind: 'finished' }) | undefined
    this.entries(
      head,
      (_n, entry) => {
        if (entry.kind === 'finished') end = entry
      },
      (error) => done(end, error),
    )
  }

  /** All entries of a run, oldest first. */
  entries(head: RunHead, each: EntryListener, done: (error?: ErrorBody) => void): void {
    new Journal(this.host.ports, head.realm, head.id, () => {}).load(each, done)
  }

  /** Hears of a run's entries from now on. Returns how to end that. */
  listen(id: string, listener: EntryListener): () => void {
    const set = this.listeners.get(id) ?? new Set()
    this.listeners.set(id, set.add(listener))
    return () => {
      set.delete(listener)
      if (set.size === 0) this.listeners.delete(id)
    }
  }

  // Beginning

  private begin(call: DurableCall, key?: RunHead['key']): void {
    const { context, functionId, caller, input, http, metadata } = call
    const own = this.host.ownerOf(functionId)
    const { run: parent, idempotencyKey } = context
    const parentStep =
      parent !== undefined && idempotencyKey?.startsWith(`${parent}/`)
        ? idempotencyKey.slice(parent.length + 1)
        : undefined
    const head: RunHead = {
      ...this.newHead(functionId, context.realm),
      principal: context.principal,
      context: { ...storedContext(context), parentSpanId: call.spanId },
      code: own ?? {},
      ...(own ? { worker: own.worker } : {}),
      ...(context.session === undefined ? {} : { session: context.session }),
      ...(caller.worker === undefined ? {} : { calledBy: caller.worker }),
      ...(key ? { key } : {}),
      ...(parent !== undefined && parentStep !== undefined ? { parent: { run: parent, step: parentStep } } : {}),
    }
    const given: RunInput = { input, ...(http ? { http } : {}), ...(metadata === undefined ? {} : { metadata }) }
    const run = new Run(this, head, true)
    run.join(call)
    this.launch(run, given)
  }

  /** Runs the handler of a run again, against its journal; the call is answered with the report. */
  replay(call: BuiltinCall, recording: Recording): void {
    const { head } = recording
    const again: RunHead = { ...this.copyOf(head), replayOf: head.id }
    const run = new Run(this, again, true, new ReplayCheck(recording))
    run.join(call)
    this.launch(run, recording.input, recording.copies())
  }

  /** Begins a run of its own with what another has recorded before a step, once for the key of the call. */
  fork(call: BuiltinCall, recording: Recording, step: string): void {
    recording.assertForkable(step)
    const { head } = recording
    const key = keyOf(call)
    const first = key && this.begunUnder(key, head.realm)
    if (first) return call.reply({ runId: first.id, forkOf: first.forkOf, status: first.status })
    const copies = recording.copies(step)
    const forked: RunHead = { ...this.copyOf(head), forkOf: { run: head.id, step }, ...(key ? { key } : {}) }
    const run = new Run(this, forked, false)
    const begun = this.listen(run.id, (_n, entry) => {
      if (entry.kind !== 'started') return
      begun()
      call.reply({ runId: run.id, forkOf: forked.forkOf, status: run.head.status })
    })
    this.launch(run, recording.input, copies, (error) => {
      begun()
      call.fail(error.code, error.message, error.details)
    })
  }

  /** The head of a new run of the same function, for the same principal. */
  private copyOf({ function: fn, realm, principal, session, context, calledBy }: RunHead): RunHead {
    const own = this.host.ownerOf(fn)
    return {
      ...this.newHead(fn, realm),
      principal,
      context,
      code: own ?? {},
      ...(own ? { worker: own.worker } : {}),
      ...(session === undefined ? {} : { session }),
      ...(calledBy === undefined ? {} : { calledBy }),
    }
  }

  private newHead(functionId: string, realm: string): Omit<RunHead, 'principal' | 'context' | 'code'> {
    const { clock, ids } = this.host.ports
    const now = clock.now()
    return {
      id: `run-${uuidv7(now, ids.hex(10))}`,
      function: functionId,
      realm,
      createdAt: now,
      updatedAt: now,
      status: 'running',
      attempts: 0,
      steps: 0,
      costMicroUsd: 0,
      usage: {},
    }
  }

  /** Writes the indexes, then the run; where the disk refuses any of it, the run does not begin, now or after a start. */
  private launch(
    run: Run,
    given: RunInput,
    entries: NewEntry[] = [],
    refusedWith: (error: ErrorBody) => void = () => {},
  ): void {
    const { id, realm, createdAt, key } = run.head
    this.open.set(id, run)
    let refused: ErrorBody | undefined
    const indexes: StoreWrite[] = [
      { op: 'put', partition: OPEN, key: id, value: { realm } },
      { op: 'put', partition: listPartition(realm), key: listKey(createdAt, id), value: { id } },
    ]
    if (key) {
      const value = { run: id, hash: key.hash }
      indexes.push({ op: 'put', partition: keyPartition(realm), key: key.record, value })
    }
    for (const write of indexes) {
      this.host.ports.store.write([write], (outcome) => {
        if (!outcome.ok) refused ??= outcome.error
      })
    }
    run.begin(given, entries, (error) => {
      if (!error && refused) {
        refusedWith(refused)
        run.abandon(refused)
        return false
      }
      if (!error) return true
      this.open.delete(id)
      run.refuse(error)
      refusedWith(error)
      return false
    })
  }

  /** An index entry that can be written again at the next start. */
  put(write: StoreWrite): void {
    this.host.ports.store.write([write], (outcome) => {
      if (outcome.ok) return
      const { code, message } = outcome.error
      this.host.ports.log.error(
        { code, partition: write.partition },
        `An index of the runs was not written: ${message}`,
      )
    })
  }

  private cancelChildren(id: string): void {
    for (const run of [...this.open.values()]) {
      if (run.head.parent?.run === id && !run.over) run.cancel(`The run ${id}, whose step it was, was cancelled`)
    }
  }

  // Recovery

  /** Runs now, or after the open runs have been read. */
  whenLoaded(call: BuiltinCall, run: () => void): void {
    const guard = (): void => guarded(this.host, call, run)
    if (!this.early) return guard()
    if (this.early.length < MAX_EARLY) return void this.early.push({ call, run: guard })
    throw new EngineError('overloaded', 'The runs are still being read after the start; try again shortly')
  }

  load(): void {
    const { store, timers } = this.host.ports
    store.range(OPEN, { limit: 1 }, (records, error) => {
      if (this.stopped) return
      if (error) return this.again(error, () => this.load())
      if (records.length === 0) return this.loaded()
      timers.set(CLIENTS_BACK_MS, () => !this.stopped && this.read())
    })
  }

  private read(): void {
    const page = (after: string | undefined): void => {
      const options = { limit: PAGE, ...(after === undefined ? {} : { after }) }
      this.host.ports.store.range(OPEN, options, (records, error, behind) => {
        if (this.stopped) return
        if (error) return this.again(error, () => page(after))
        inTurn(
          records,
          ({ key, value }, next) => this.recover(key, (value as { realm: string }).realm, next),
          () => (behind === undefined ? this.loaded() : page(behind)),
        )
      })
    }
    page(undefined)
  }

  private recover(id: string, realm: string, done: () => void): void {
    const head = this.readHead(realm, id, () => this.recover(id, realm, done))
    if (head === 'unread') return
    if (!head || !isOpen(head.status)) {
      // Refused before it began, or ended before the index was written.
      if (head) this.put(finishedRecord(head))
      this.put({ op: 'delete', partition: OPEN, key: id })
      return done()
    }
    const run = new Run(this, head, false)
    run.recover((error) => {
      if (error) return this.again(error, () => this.recover(id, realm, done))
      this.open.set(id, run)
      done()
    })
  }

  /** State of a run, open or over; where it cannot be read, `again` comes when it may be. */
  private readHead(realm: string, id: string, again: () => void): RunHead | 'unread' | undefined {
    try {
      return this.head(realm, id)
    } catch (error) {
      if (!(error instanceof EngineError)) throw error
      this.again(error.toBody(), again)
      return 'unread'
    }
  }

  /** Who waits for the runs hears why there is no answer now; the runs themselves wait. */
  private again(error: ErrorBody, run: () => void): void {
    this.disk.failed(error, run)
    for (const { call } of this.early?.splice(0) ?? []) call.fail(error.code, error.message, error.details)
  }

  private loaded(): void {
    const orphans = new Set<string>()
    for (const { head } of this.open.values()) {
      const { parent, realm } = head
      if (parent === undefined) continue
      const above = this.readHead(realm, parent.run, () => this.loaded())
      if (above === 'unread') return
      if (above?.status === 'cancelled') orphans.add(head.id)
    }
    this.goOn(orphans)
  }

  /** `orphans`: steps of runs that were cancelled. */
  private goOn(orphans: ReadonlySet<string>): void {
    const early = this.early ?? []
    this.early = undefined
    if (this.open.size > 0) this.host.ports.log.info({ runs: this.open.size }, 'Runs from before the start go on')
    const recovered = [...this.open.values()]
    for (const run of recovered) {
      if (run.over) continue
      const { parent } = run.head
      if (run.head.replayOf !== undefined) run.cancel('The engine was restarted during the replay; ask for it again')
      else if (parent && orphans.has(run.id)) run.cancel(`The run ${parent.run}, whose step it was, was cancelled`)
      else run.takeUp()
    }
    // Who joins a run hears why it stands still only once that is known.
    for (const { run } of early) run()
  }

  /** No further attempts. What runs may still succeed; what fails from now on is taken up after the next start. */
  stop(): void {
    this.stopped = true
    this.disk.stop()
    for (const run of this.open.values()) run.stop()
  }
}

/** The idempotency key of a call that begins a run. */
function keyOf({ context, functionId, input }: BuiltinCall): RunKey | undefined {
  const { idempotencyKey, principal } = context
  if (idempotencyKey === undefined) return undefined
  const record = hashOf([principal.kind, principal.id, functionId, idempotencyKey])
  return { record, hash: hashOf(withoutChannels(input)) }
}

function finishedRecord({ id, realm, createdAt, finishedAt = 0 }: RunHead): StoreWrite {
  return { op: 'put', partition: FINISHED, key: finishedKey(finishedAt, id), value: { id, realm, createdAt } }
}
