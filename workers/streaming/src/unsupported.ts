import { AgentError } from '@agentos/sdk'

/** A field that is not served, by its name and with the reason. */
export function unsupported(field: string, reason: string): AgentError {
  return new AgentError('unsupported_feature', `${field}: ${reason}`, { details: { param: field } })
}
