import type { ErrorBody } from '@agentos/protocol'
import type { DurableCall, ModuleHost } from '../../core/module.ts'
import type { StoreWrite } from '../../core/ports.ts'
import { guarded } from '../serve.ts'
import type { RunHead } from './entry.ts'
import { FINISHED, finishedKey, keyPartition, OPEN } from './partitions.ts'
import { Run, type RunOwner } from './run.ts'

/** What it needs of whoever keeps the runs. */
interface Runs extends RunOwner {
  readonly host: ModuleHost
  /** It is open again: it goes on. */
  opened(run: Run): void
  /** Writes an index entry that can be written again at the next start. */
  put(write: StoreWrite): void
  /** Writes down where a run that is over lies. */
  shelve(head: RunHead): void
}

/**
 * Opens runs again that failed with what may pass, at the next call under their key: a failure like that is no outcome.
 * What is recorded stands, so that nothing is done again that was done.
 */
export class Reopening {
  private readonly runs: Runs
  /** Calls that wait until it is known whether their run goes on. */
  private readonly waiting = new Map<string, (() => void)[]>()

  constructor(runs: Runs) {
    this.runs = runs
  }

  /** `answer` runs once the run is open again, or where it stays as it is. */
  enter(call: DurableCall, head: RunHead, answer: () => void): void {
    const go = (error?: ErrorBody): void =>
      guarded(this.runs.host, call, () => (error ? call.fail(error.code, error.message, error.details) : answer()))
    const others = this.waiting.get(head.id)
    if (others) return void others.push(go)
    const all = [go]
    this.waiting.set(head.id, all)
    this.open(new Run(this.runs, head, false), (error) => {
      this.waiting.delete(head.id)
      for (const each of all) each(error)
    })
  }

  private open(run: Run, done: (error?: ErrorBody) => void): void {
    const { head, host } = run
    const { id, realm, key, finishedAt = 0 } = head
    const over = { ...head }
    run.recover((error) => {
      if (error || !run.mayPass) return done(error)
      // First where it is looked for after a start: what is over and named there is put back among what is over.
      const open: StoreWrite = { op: 'put', partition: OPEN, key: id, value: { realm } }
      host.ports.store.write([open], (outcome) => {
        if (!outcome.ok) return done(outcome.error)
        this.runs.put({ op: 'delete', partition: FINISHED, key: finishedKey(finishedAt, id) })
        if (key) {
          this.runs.put({
            op: 'put',
            partition: keyPartition(realm),
            key: key.record,
            value: { run: id, hash: key.hash },
          })
        }
        run.reopen((written) => {
          if (!written.ok) {
            this.runs.shelve(over)
            return done(written.error)
          }
          this.runs.opened(run)
          done()
        })
      })
    })
  }
}
