import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { writeBackup } from './backup.ts'
import { syncFolder } from './data-format.ts'
import { diskError } from './disk-error.ts'
import type { Answer, FromThread, StoreRequest, ThreadData, ToThread } from './messages.ts'
import { openRecords } from './open-records.ts'
import type { RecordDatabase } from './record-database.ts'
import { TraceDatabase } from './trace-database.ts'

type ImmediateRequest = Exclude<StoreRequest, { type: 'commit' | 'backup' }>

/**
 * The store's thread: it alone writes the files. It takes everything that waits into one transaction, answers after
 * that is on disk, and then serves the reads; so a slow disk or a long read never stops the engine's event loop.
 */
class StoreThreadMain {
  private readonly port: MessagePort
  private readonly records: RecordDatabase
  private readonly traces: TraceDatabase

  constructor(port: MessagePort, data: ThreadData, warnings: string[]) {
    this.port = port
    this.records = openRecords(data.folder, warnings)
    this.traces = openTraces(join(data.folder, 'traces.sqlite'), data, warnings)
    syncFolder(data.folder)
  }

  run(warnings: string[]): void {
    this.post({ type: 'ready', lastSeq: this.records.lastSeq(), warnings })
    this.port.on('message', (first: ToThread) => this.round(first))
  }

  private round(first: ToThread): void {
    const waiting = [first]
    for (let next = receiveMessageOnPort(this.port); next; next = receiveMessageOnPort(this.port)) {
      waiting.push(next.message as ToThread)
    }
    this.commit(waiting)
    const answers = waiting.flatMap(({ id, request }) =>
      request && request.type !== 'commit' && request.type !== 'backup' ? [{ id, answer: this.answer(request) }] : [],
    )
    if (answers.length > 0) this.post({ type: 'answers', answers })
    for (const { id, request } of waiting) if (request?.type === 'backup') void this.backup(id, request.target)
    if (waiting.some(({ request }) => !request)) this.close()
  }

  private commit(waiting: readonly ToThread[]): void {
    const messages = waiting.flatMap(({ id, request }) => (request?.type === 'commit' ? [{ id, request }] : []))
    const last = messages.at(-1)
    if (!last) return
    const batches = messages.flatMap(({ request }) => request.batches)
    const outcomes = this.records.commit(batches, last.request.now)
    let from = 0
    const answers = messages.map(({ id, request }) => {
      const value = outcomes.slice(from, from + request.batches.length)
      from += request.batches.length
      return { id, answer: { ok: true as const, value } }
    })
    this.post({ type: 'answers', answers })
  }

  /** Goes on beside everything else, a few pages at a time. */
  private async backup(id: number, target: string): Promise<void> {
    let answer: Answer
    try {
      answer = { ok: true, value: await writeBackup(this.records, target) }
    } catch (error) {
      answer = { ok: false, error: diskError(error) }
    }
    this.post({ type: 'answers', answers: [{ id, answer }] })
  }

  private answer(request: ImmediateRequest): Answer {
    try {
      return { ok: true, value: this.serve(request) }
    } catch (error) {
      return { ok: false, error: diskError(error) }
    }
  }

  private serve(request: ImmediateRequest): Extract<Answer, { ok: true }>['value'] {
    switch (request.type) {
      case 'range':
        return this.records.range(request.partition, request, request.now)
      case 'partitions':
        return this.records.partitions(request.prefix, request, request.now)
      case 'changes':
        return this.records.changes(request.prefix, request)
      case 'expired':
        return this.records.expired(request.now, request.limit)
      case 'prune':
        this.records.prune(request.keep)
        return null
      case 'trace-append':
        this.traces.append(request.spans, request.now)
        return null
      case 'trace-get':
        return this.traces.byTrace(request.traceId, request.maxBytes)
      case 'trace-list':
        return this.traces.list(request.query)
      case 'trace-clear':
        this.traces.clear(request.realm)
        return null
    }
  }

  private close(): void {
    this.records.close()
    this.traces.close()
    this.port.close()
  }

  private post(message: FromThread): void {
    this.port.postMessage(message)
  }
}

/** Traces never keep the system from starting: a file that cannot be read is thrown away. */
function openTraces(path: string, data: ThreadData, warnings: string[]): TraceDatabase {
  try {
    return new TraceDatabase(path, data.traces)
  } catch (error) {
    warnings.push(`${path} could not be opened and starts empty: ${diskError(error).message}`)
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true })
    return new TraceDatabase(path, data.traces)
  }
}

if (parentPort) {
  const warnings: string[] = []
  try {
    new StoreThreadMain(parentPort, workerData as ThreadData, warnings).run(warnings)
  } catch (error) {
    parentPort.postMessage({ type: 'failed', error: diskError(error) } satisfies FromThread)
  }
}
