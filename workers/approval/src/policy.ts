import { DEFAULT_TIMEOUT_MS, type Policy } from '@agentos/contracts/approval'

/** Where the owner has set none: whatever changes something outside needs an approval. */
export const DEFAULT_POLICY: Policy = { tools: [], effects: ['external'], allow: [], timeoutMs: DEFAULT_TIMEOUT_MS }

/** Does this call need an approval? */
export function asks(policy: Policy, functionId: string, effects: Policy['effects'][number]): boolean {
  // Asking too often is the smaller mistake: what asks is found whatever its case, what lets through only exactly.
  const id = functionId.toLowerCase()
  if (policy.tools.some((pattern) => covers(pattern.toLowerCase(), id))) return true
  if (policy.allow.some((pattern) => covers(pattern, functionId))) return false
  return policy.effects.includes(effects)
}

/** `*` is everything, `ns::*` what begins with `ns::`, anything else itself. */
function covers(pattern: string, id: string): boolean {
  if (pattern === '*') return true
  return pattern.endsWith('::*') ? id.startsWith(pattern.slice(0, -1)) : pattern === id
}
