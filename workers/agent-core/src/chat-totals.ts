import type { ToolCallReport } from '@agentos/contracts/agent-core'
import type { Completion } from '@agentos/contracts/llm-router'

/** What a chat has used so far, over all its rounds. */
export class ChatTotals {
  readonly usage = { input: 0, output: 0, total: 0, cached: 0, reasoning: 0 }
  readonly toolCalls: ToolCallReport[] = []
  private microUsd = 0
  private priced = true
  private answers = 0
  private lastModel: string | null = null

  add(completion: Completion): void {
    this.answers += 1
    this.lastModel = `${completion.provider}/${completion.model}`
    this.usage.input += completion.usage.input
    this.usage.output += completion.usage.output
    this.usage.total += completion.usage.total
    this.usage.cached += completion.usage.cached ?? 0
    this.usage.reasoning += completion.usage.reasoning ?? 0
    if (completion.cost.microUsd === null) this.priced = false
    else this.microUsd += completion.cost.microUsd
  }

  get model(): string | null {
    return this.lastModel
  }

  /** A sum with an unknown part is unknown. */
  get cost(): { microUsd: number | null; priced: boolean } {
    const priced = this.priced && this.answers > 0
    return { microUsd: priced ? this.microUsd : null, priced }
  }
}
