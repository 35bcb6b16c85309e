import { AgentError } from '@agentos/sdk'

/** Why an address is not reached: `details.reason` of `forbidden`. */
export type RefusalReason =
  | 'malformed_url'
  | 'scheme'
  | 'credentials_in_url'
  | 'odd_address'
  | 'host_not_allowed'
  | 'port'
  | 'own_port'
  | 'metadata_address'
  | 'private_address'
  | 'address_changed'
  | 'downgrade'

export function refuse(reason: RefusalReason, url: string, sentence: string): AgentError {
  return new AgentError('forbidden', sentence, { details: { reason, url: url.slice(0, 300) } })
}
