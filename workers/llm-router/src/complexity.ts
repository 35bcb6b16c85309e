import type { ModelFacts } from './catalogue.ts'

export interface ScoredRequest {
  messages: readonly { role: string; content?: unknown }[]
  tools: readonly unknown[]
}

export type Tier = NonNullable<ModelFacts['tier']>

/** How demanding a request looks, from its last message and its size. Tools count as two at most: many small tools are no hard question. */
export function complexity({ messages, tools }: ScoredRequest): number {
  const text = textOf(messages.at(-1)?.content)
  let score = Math.floor(Buffer.byteLength(text) / 100)
  if (/```|\b(function|class)\b/.test(text)) score += 20
  if (/\b(analyze|compare|design)\b/.test(text)) score += 15
  score += 5 * Math.min(tools.length, 2)
  if (messages.length > 10) score += 10
  return score
}

export function tierOf(score: number): Tier {
  if (score <= 10) return 'small'
  return score <= 40 ? 'medium' : 'large'
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .flatMap((part: { type?: unknown; text?: unknown } | null) =>
      part?.type === 'text' && typeof part.text === 'string' ? [part.text] : [],
    )
    .join('\n')
}
