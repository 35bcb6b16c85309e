import type { Client } from '../../../packages/sdk/src/client.ts'
import type { Findings } from '../harness/findings.ts'

const SCOPE = 'faults-writes'
const COUNT = 8

interface Writer {
  key: string
  /** The latest value that was sent, and the latest that was acknowledged. */
  sent: number
  acknowledged: number
}

/** Clients that write all the time, one value after the other, and remember what was acknowledged. */
export class Writers {
  private readonly writers: Writer[] = Array.from({ length: COUNT }, (_, n) => ({
    key: `writer-${n}`,
    sent: 0,
    acknowledged: 0,
  }))
  private readonly client: Client
  private readonly findings: Findings

  constructor(client: Client, findings: Findings) {
    this.client = client
    this.findings = findings
  }

  /** Writes until the engine is lost. */
  async run(): Promise<void> {
    await Promise.all(this.writers.map((writer) => this.write(writer)))
  }

  /** To be called when the engine is back and nothing is written. */
  async judge(): Promise<void> {
    for (const { key, sent, acknowledged } of this.writers) {
      const value = (await this.client.state.get<number>(SCOPE, key)) ?? 0
      if (value < acknowledged) this.findings.lost(`${key}: ${acknowledged} was acknowledged, ${value} is there`)
      this.findings.expect(value <= sent, `${key}: ${value} is there and was never written`)
    }
  }

  private async write(writer: Writer): Promise<void> {
    for (;;) {
      writer.sent += 1
      const value = writer.sent
      try {
        await this.client.state.set(SCOPE, writer.key, value)
      } catch {
        return
      }
      writer.acknowledged = value
      this.findings.acknowledge()
    }
  }
}
