import { EngineError, type ErrorBody, isRetryable, payloadJson, payloadValue } from '@agentos/protocol'
import type { CallResult, EngineModule, KeyedCall, KeyKeeper, KeyTurn, ModuleHost } from '../../core/module.ts'
import type { Ports } from '../../core/ports.ts'
import type { Ending } from '../../core/retries.ts'
import { inputHash, KEPT_MS, type KeyRecord, keyReused, type Outcome, resultOf, type Slot, slotOf } from './record.ts'
import { Shelf, type ShelfLimits } from './shelf.ts'

export interface KeysSettings extends ShelfLimits {
  /** Bytes of one result that is kept. */
  maxResultBytes: number
}

/**
 * Calls with an idempotency key: the first is noted on disk before it is sent, and its result is on disk before it is
 * delivered. A second one gets that result, or `in_doubt` while nobody knows it.
 */
export function createKeysModule(settings: KeysSettings): EngineModule {
  return {
    name: 'keys',
    start(host: ModuleHost) {
      const keys = new Keys(host.ports, settings)
      host.onKeyedCall(keys)
      keys.restore()
    },
  }
}

class Keys implements KeyKeeper {
  private readonly ports: Ports
  private readonly settings: KeysSettings
  private readonly shelf: Shelf
  /** Slots whose first call is under way in this engine, and when they were noted. Epoch milliseconds. */
  private readonly running = new Map<string, number>()

  constructor(ports: Ports, settings: KeysSettings) {
    this.ports = ports
    this.settings = settings
    this.shelf = new Shelf(settings, ports.store, ports.clock)
  }

  restore(): void {
    this.shelf.restore()
  }

  claim(call: KeyedCall, turn: KeyTurn): void {
    const { store } = this.ports
    const slot = slotOf(call.request)
    const found = store.latest(slot.partition, slot.key)?.value as KeyRecord | undefined
    if (!found) return this.note(call, slot, turn)
    if (found.input !== inputHash(call.request)) throw keyReused()
    const running = this.running.has(name(slot))
    if (!running && !found.outcome && call.repeatable()) return this.note(call, slot, turn)
    if (!found.outcome) throw inDoubt(found, running)
    // It may be accepted and not yet on disk; the disk may still refuse it.
    store.settled(slot.partition, slot.key, () => {
      let record: KeyRecord | undefined
      try {
        record = store.get(slot.partition, slot.key)?.value as KeyRecord | undefined
      } catch (error) {
        if (!(error instanceof EngineError)) throw error
        return turn.answer(failed(error.toBody()))
      }
      turn.answer(record?.outcome ? resultOf(record, record.outcome) : failed(inDoubt(found, false).toBody()))
    })
  }

  conclude(call: KeyedCall, result: CallResult, ending: Ending, deliver: (result: CallResult) => void): void {
    const slot = slotOf(call.request)
    if (isDecided(result, ending)) return this.record(call, slot, result, deliver)
    this.running.delete(name(slot))
    // What may have taken effect and must not be repeated keeps its key, undecided.
    if (mayHaveTakenEffect(call, ending)) return deliver(result)
    this.shelf.remove(slot)
    this.ports.store.write([{ op: 'delete', ...slot }], () => deliver(result))
  }

  private note(call: KeyedCall, slot: Slot, turn: KeyTurn): void {
    this.shelf.add(slot)
    const now = this.ports.clock.now()
    this.running.set(name(slot), now)
    const value: KeyRecord = { function_id: call.request.functionId, input: inputHash(call.request), created_at: now }
    this.ports.store.write([{ op: 'put', ...slot, value, expires: now + KEPT_MS }], (outcome) => {
      if (outcome.ok) return turn.proceed()
      this.running.delete(name(slot))
      this.shelf.remove(slot)
      turn.refuse(outcome.error)
    })
  }

  private record(call: KeyedCall, slot: Slot, result: CallResult, deliver: (result: CallResult) => void): void {
    const { store, clock, log } = this.ports
    const { functionId } = call.request
    const created_at = this.running.get(name(slot)) ?? clock.now()
    const input = inputHash(call.request)
    const { outcome, bytes } = this.outcomeOf(result)
    const value: KeyRecord = { function_id: functionId, input, created_at, outcome }
    this.shelf.decide(slot, bytes)
    store.write([{ op: 'put', ...slot, value, expires: created_at + KEPT_MS }], (written) => {
      this.running.delete(name(slot))
      if (written.ok) return deliver(result)
      const { code, message } = written.error
      log.error({ function_id: functionId, code }, `A result was not recorded under its idempotency key: ${message}`)
      const said = `${functionId} has answered, but its result could not be recorded: ${message}`
      deliver(failed({ code: 'in_doubt', message: said, details: { running: false } }))
    })
  }

  private outcomeOf(result: CallResult): { outcome: Outcome; bytes: number } {
    if (!result.ok) {
      const { stacktrace: _where, ...error } = result.error
      return { outcome: { ok: false, error }, bytes: JSON.stringify(error).length }
    }
    const bytes = payloadJson(result.payload)?.length ?? 0
    if (bytes > this.settings.maxResultBytes) return { outcome: { ok: true, too_large: bytes }, bytes: 0 }
    const value = payloadValue(result.payload)
    return { outcome: value === undefined ? { ok: true } : { ok: true, result: value }, bytes }
  }
}

/** Did its executor say what came of it? A failure that may pass is no last word. */
function isDecided(result: CallResult, ending: Ending): boolean {
  return ending === 'answered' && (result.ok || !isRetryable(result.error.code))
}

/**
 * Of an undecided call: might it do something twice if it is made again? Where its executor answered, that is for what
 * changes something outside: of that nobody knows what it did before it failed.
 */
function mayHaveTakenEffect(call: KeyedCall, ending: Ending): boolean {
  if (ending === 'unsent' || call.repeatable()) return false
  return ending === 'lost' || call.reachesOutside()
}

function inDoubt({ function_id }: KeyRecord, running: boolean): EngineError {
  const message = running
    ? `The first call of ${function_id} with this idempotency key is still under way; ask again for its result`
    : `It is not known what came of the first call of ${function_id} with this idempotency key`
  return new EngineError('in_doubt', message, { details: { running } })
}

function failed(error: ErrorBody): CallResult {
  return { ok: false, error }
}

function name({ partition, key }: Slot): string {
  return `${partition} ${key}`
}
