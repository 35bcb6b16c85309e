import type { StateClient } from '@agentos/sdk'
import type { Alert } from './alerts.ts'

const SCOPE = 'ledger-checkpoint'
const KEY = 'alerts'
/** Alerts that may wait to be told; past them the oldest are given up. */
const MOST_WAITING = 1_000

export interface AlarmParts {
  state: StateClient
  /** Throws where nobody can be told now. */
  publish: (alert: Alert) => Promise<void>
  log: { warn: (about: object, message: string) => void }
}

/** Alerts of one entry, or of none where a call was refused. */
interface Waiting {
  sequence: number | undefined
  alerts: readonly Alert[]
}

/**
 * Tells of alerts, in order. Those of an entry are due as soon as it is on disk; up to which entry they were told is on
 * disk too, so that what a process did not come to is told by the next.
 */
export class Alarms {
  private readonly parts: AlarmParts
  private waiting: Waiting[] = []
  private telling: Promise<void> | undefined
  /** Of everything up to this entry it was told. */
  private told = Number.POSITIVE_INFINITY

  constructor(parts: AlarmParts) {
    this.parts = parts
  }

  /** Before the entries are read. */
  async open(): Promise<void> {
    this.told = (await this.parts.state.get<{ sequence: number }>(SCOPE, KEY))?.sequence ?? this.told
  }

  /** After the entries were read: where it was never noted, nothing of the past is told. */
  async begin(sequence: number): Promise<void> {
    if (this.told === Number.POSITIVE_INFINITY) await this.note(sequence)
    this.tell()
  }

  raise(alerts: readonly Alert[], sequence?: number): void {
    if (alerts.length === 0 || (sequence !== undefined && sequence <= this.told)) return
    this.waiting = [...this.waiting, { sequence, alerts }].slice(-MOST_WAITING)
    this.tell()
  }

  /** Tells what is to be told, if it can be; after a failure somebody has to ask for it again. */
  tell(): void {
    this.telling ??= this.tellAll().finally(() => {
      this.telling = undefined
    })
  }

  /** Resolves when nothing is being told. */
  async settled(): Promise<void> {
    await this.telling
  }

  private async tellAll(): Promise<void> {
    for (let next = this.waiting[0]; next; next = this.waiting[0]) {
      try {
        for (const alert of next.alerts) await this.parts.publish(alert)
        if (next.sequence !== undefined) await this.note(next.sequence)
      } catch (error) {
        return this.parts.log.warn({ err: error }, 'an alert could not be told yet')
      }
      this.waiting = this.waiting.filter((waiting) => waiting !== next)
    }
  }

  private async note(sequence: number): Promise<void> {
    await this.parts.state.set(SCOPE, KEY, { sequence })
    this.told = sequence
  }
}
