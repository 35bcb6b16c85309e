import { decodeHidden } from './decode.ts'
import { hiddenIn, type Views, viewsOf } from './normalise.ts'
import { encodedRule, type Family, rules, tagsRule, zeroWidthRule } from './rules.ts'

export type Source = 'user' | 'web' | 'tool' | 'memory'

/** A score over this is flagged. People may say odd things about prompts; a web page or a tool's result has no reason to. */
const thresholds: Record<Source, number> = { user: 0.5, memory: 0.4, web: 0.2, tool: 0.2 }

/** Invisible characters inside words: one or two come from careless copying. */
const ZERO_WIDTH = 3

export interface Finding {
  rule: string
  family: Family
  weight: number
  /** Encodings through which it was found, outermost first; empty for plain text. */
  decoded: string[]
}

export interface ScanResult {
  safe: boolean
  matches: string[]
  riskScore: number
  flagged: boolean
  threshold: number
  findings: Finding[]
}

/** Each rule counts once, however often and wherever it matches; the score is the sum of the weights, at most 1. */
export function scan(text: string, source: Source): ScanResult {
  const findings = new Map<string, Finding>()
  const add = (rule: { id: string; family: Family; weight: number }, decoded: string[]) => {
    if (!findings.has(rule.id))
      findings.set(rule.id, { rule: rule.id, family: rule.family, weight: rule.weight, decoded })
  }

  matchRules(viewsOf(text), (rule) => add(rule, []))
  const { betweenLetters, tagText } = hiddenIn(text)
  if (betweenLetters >= ZERO_WIDTH) add(zeroWidthRule, [])
  if (tagText.length > 0) {
    add(tagsRule, [])
    matchRules(viewsOf(tagText), (rule) => add(rule, ['tags']))
  }
  for (const inner of decodeHidden(text)) {
    matchRules(viewsOf(inner.text), (rule) => {
      if (findings.has(rule.id)) return
      add(rule, inner.path)
      // Escapes of addresses and markup are everyday; whoever encodes an instruction otherwise means to hide it.
      if (inner.path.some((encoding) => encoding !== 'url' && encoding !== 'html')) add(encodedRule, inner.path)
    })
  }

  const found = [...findings.values()]
  const sum = found.reduce((total, { weight }) => total + weight, 0)
  const riskScore = Math.min(1, Math.round(sum * 100) / 100)
  const threshold = thresholds[source]
  return {
    safe: found.length === 0,
    matches: found.map(({ rule }) => rule),
    riskScore,
    flagged: riskScore > threshold,
    threshold,
    findings: found,
  }
}

function matchRules(views: Views, matched: (rule: (typeof rules)[number]) => void): void {
  const texts = new Set([views.folded, views.plain, views.leet])
  for (const rule of rules) {
    for (const text of texts) {
      if (rule.pattern.test(text)) {
        matched(rule)
        break
      }
    }
  }
}
