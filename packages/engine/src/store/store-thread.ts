import { Worker } from 'node:worker_threads'
import { EngineError, type ErrorBody } from '@agentos/protocol'
import type { Log } from '../core/ports.ts'
import type { Answer, FromThread, StoreAnswers, StoreRequest, ThreadData, ToThread } from './messages.ts'

/** How long a thread that died is left alone before it is started again, doubling up to the last. */
const RESTART_MS = { first: 100, last: 5_000 }

/**
 * Reads that are with the thread at a time, each of a page at most: what is committed meanwhile waits for no more than
 * these, and no more than these are in memory, however many are asked for.
 */
const READS_AT_ONCE = 4

const READS: ReadonlySet<StoreRequest['type']> = new Set(['range', 'partitions', 'changes', 'trace-get', 'trace-list'])

/** The engine's side of the store's thread: sends requests, hands out answers, and starts it anew should it die. */
export class StoreThread {
  private readonly url: URL
  private readonly data: ThreadData
  private readonly log: Log
  private readonly waiting = new Map<number, (answer: Answer) => void>()
  /** Reads that wait for their turn, in the order in which they were asked for. */
  private readonly later: { request: StoreRequest; done: (answer: Answer) => void }[] = []
  private reading = 0
  private worker: Worker | undefined
  private nextId = 1
  private restartMs = RESTART_MS.first
  private closing = false

  private constructor(url: URL, data: ThreadData, log: Log) {
    this.url = url
    this.data = data
    this.log = log
  }

  /** `url` names the thread's file. Rejects with a typed error where the files cannot be opened or are not to be. */
  static async start(url: URL, data: ThreadData, log: Log): Promise<{ thread: StoreThread; lastSeq: number }> {
    const thread = new StoreThread(url, data, log)
    return { thread, lastSeq: await thread.launch() }
  }

  /** `done` runs once, with the answer or with `store_unavailable`. */
  request<T extends StoreRequest['type']>(
    request: Extract<StoreRequest, { type: T }>,
    done: (answer: Answer<T>) => void,
  ): void {
    if (!this.worker) {
      queueMicrotask(() => done({ ok: false, error: unavailable('its thread is being started again') }))
      return
    }
    const answered = done as (answer: Answer) => void
    if (!READS.has(request.type)) return this.send(request, answered)
    this.later.push({ request, done: answered })
    this.sendReads()
  }

  /** Ends the thread after everything that was sent before. */
  async close(): Promise<void> {
    this.closing = true
    const { worker } = this
    if (!worker) return
    await new Promise<void>((resolve) => {
      worker.once('exit', () => resolve())
      worker.postMessage({ id: 0 } satisfies ToThread)
    })
  }

  private sendReads(): void {
    while (this.worker && this.reading < READS_AT_ONCE) {
      const next = this.later.shift()
      if (!next) return
      this.reading += 1
      this.send(next.request, (answer) => {
        this.reading -= 1
        try {
          next.done(answer)
        } finally {
          this.sendReads()
        }
      })
    }
  }

  private send(request: StoreRequest, done: (answer: Answer) => void): void {
    const id = this.nextId++
    this.waiting.set(id, done)
    this.worker!.postMessage({ id, request } satisfies ToThread)
  }

  private launch(): Promise<number> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(this.url, { workerData: this.data, name: 'store' })
      worker.on('message', (message: FromThread) => {
        if (message.type === 'answers') return this.deliver(message.answers)
        if (message.type === 'failed') return reject(asError(message.error))
        for (const warning of message.warnings) this.log.warn({}, warning)
        this.worker = worker
        resolve(message.lastSeq)
      })
      worker.on('error', (error) => {
        this.log.error({ err: error }, 'The thread of the store failed')
        reject(
          new EngineError('store_unavailable', `The thread of the store failed: ${String(error)}`, { cause: error }),
        )
      })
      worker.on('exit', () => {
        reject(asError(unavailable('its thread ended at once')))
        if (this.worker === worker) this.lost()
      })
    })
  }

  private deliver(answers: { id: number; answer: Answer }[]): void {
    for (const { id, answer } of answers) {
      const done = this.waiting.get(id)
      this.waiting.delete(id)
      done?.(answer)
    }
  }

  private lost(): void {
    this.worker = undefined
    const waiting = [...this.waiting.values(), ...this.later.splice(0).map(({ done }) => done)]
    this.waiting.clear()
    for (const done of waiting) done({ ok: false, error: unavailable('its thread ended') })
    if (!this.closing) this.restart()
  }

  private restart(): void {
    setTimeout(() => {
      if (this.closing) return
      this.launch().then(
        () => {
          this.restartMs = RESTART_MS.first
        },
        (error) => {
          this.log.error({ err: error }, 'The thread of the store could not be started again')
          this.restart()
        },
      )
    }, this.restartMs).unref()
    this.restartMs = Math.min(this.restartMs * 2, RESTART_MS.last)
  }
}

export type { StoreAnswers }

function unavailable(why: string): ErrorBody {
  return { code: 'store_unavailable', message: `The store cannot be reached: ${why}` }
}

function asError(body: ErrorBody): EngineError {
  return new EngineError(body.code as 'store_unavailable', body.message, { details: body.details })
}
