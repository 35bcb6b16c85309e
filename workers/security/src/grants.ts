import type { Capabilities, Refusal } from '@agentos/contracts/security'

/** What a record says about one function. */
export type Decision = { allowed: true; rule: string } | Refusal

/** A namespace ends at `::`: `mem::*` does not cover `memory::recall`. */
export function covers(grant: string, resource: string): boolean {
  if (grant === '*') return true
  return grant.endsWith('::*') ? resource.startsWith(grant.slice(0, -1)) : grant === resource
}

/**
 * An instance of a custom stream, `stream::get(name)`, is anybody's to register, whoever owns the namespace: no grant of the
 * namespace gives it, though a denial of it takes it.
 */
function grants(rule: string, resource: string): boolean {
  return covers(rule, resource) && !(rule.endsWith('::*') && resource.includes('('))
}

/** Deny first; without a record nothing is allowed. */
export function decide(agentId: string, resource: string, record: Capabilities | undefined): Decision {
  const refusal = { allowed: false as const, agentId, resource }
  if (!record) return { ...refusal, reason: 'no_capabilities' }
  const denied = record.deny.find((rule) => covers(rule, resource))
  if (denied !== undefined) return { ...refusal, reason: 'denied', rule: denied }
  const granted = record.tools.find((rule) => grants(rule, resource))
  return granted === undefined ? { ...refusal, reason: 'not_granted' } : { allowed: true, rule: granted }
}

/** A refusal in one sentence that says what would help. */
export function explain(refusal: Refusal): string {
  const { agentId, resource } = refusal
  switch (refusal.reason) {
    case 'no_capabilities':
      return `Agent ${agentId} has no capabilities, so it may not use ${resource}; the owner gives it some with security::set_capabilities`
    case 'denied':
      return `Agent ${agentId} may not use ${resource}: the rule ${refusal.rule} denies it`
    case 'not_granted':
      return `Agent ${agentId} may not use ${resource}: no grant covers it`
    case 'quota_exceeded':
      return `Agent ${agentId} has used ${refusal.used} of ${refusal.limit} tokens of this hour; the next begins at ${new Date(refusal.resetsAt ?? 0).toISOString()}`
  }
}
