/** Every worker of this release; those that a chat needs. */
export const ALL_WORKERS = [
  'agent-core',
  'approval',
  'ledger',
  'llm-router',
  'memory',
  'realm',
  'security',
  'streaming',
  'toolbox',
]

/** No model server of this host is looked for: tests must not depend on what listens here. */
export const NO_LOCAL_MODELS = { AGENTOS_LOCAL_MODELS: 'off' }

/** For tests whose guests ask simulated models, which have no price: the default budget would refuse them. */
export const NO_GUEST_BUDGET = { name: 'ledger', config: { guestBudgetCentsPerDay: null } }

export interface ChatReply {
  content: string
  model: string
  sessionId: string
  runId: string
  stopReason: string
  iterations: number
  usage: { input: number; output: number; total: number }
  cost: { microUsd: number | null; priced: boolean }
  toolCalls: { id: string; ok: boolean; error?: { code: string; message: string } }[]
}
