/** Names of the state scopes that this worker owns; the first four are pinned. */

export const MEMORY = 'memory:'
export const GRAPH = 'kg:'

/** Entries by id, and by content hash the marker `{id, timestamp}` that makes storing set-if-absent. */
export const memoryScope = (agentId: string) => MEMORY + agentId

/** One record per session: where its transcript begins and ends, and its summary. */
export const sessionScope = (agentId: string) => `sessions:${agentId}`

/** One record per message by `sequenceKey`. The agent's id is escaped, so that no two sessions share a scope. */
export const transcriptScope = (agentId: string, sessionId: string) =>
  `transcript:${agentId.replaceAll('%', '%25').replaceAll(':', '%3A')}:${sessionId}`

/** Entities as `entity:<id>`, relations as `edge:<from>|<type>|<to>`. */
export const graphScope = (agentId: string) => GRAPH + agentId

/** What is known of calls that came with an idempotency key. */
export const keyScope = (agentId: string) => `memory-keys:${agentId}`

/** Twelve digits: keys in the order of the numbers. */
export const sequenceKey = (sequence: number) => String(sequence).padStart(12, '0')
